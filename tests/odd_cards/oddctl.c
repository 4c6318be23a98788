/* A mixer of user space for tests: ctl.x { type oddctl file "FILE" }. A line an element:

   NAME|kind|channels|min|max|tlv[|first]
   kind: int or bool
   tlv: none, scale:MIN,STEP,MUTE (hundredths of dB), minmax:MIN,MAX, minmaxmute:MIN,MAX
   first: the value it begins with; its least without one

   FILE.state holds the values, 16 ints an element. */
#include <alsa/asoundlib.h>
#include <alsa/control_external.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MOST 64
#define CHANNELS 16

typedef struct {
	char name[44];
	int is_int, channels, tlv_words;
	long min, max, first;
	unsigned tlv[4];
} element_t;

typedef struct {
	snd_ctl_ext_t ext;
	element_t elements[MOST];
	int count;
	int (*values)[CHANNELS];
} odd_t;

static void odd_close(snd_ctl_ext_t *ext)
{
	odd_t *odd = ext->private_data;
	munmap(odd->values, MOST * sizeof *odd->values);
	free(odd);
}

static int odd_count(snd_ctl_ext_t *ext)
{
	return ((odd_t *)ext->private_data)->count;
}

static int odd_list(snd_ctl_ext_t *ext, unsigned offset, snd_ctl_elem_id_t *id)
{
	snd_ctl_elem_id_set_interface(id, SND_CTL_ELEM_IFACE_MIXER);
	snd_ctl_elem_id_set_name(id, ((odd_t *)ext->private_data)->elements[offset].name);
	return 0;
}

static snd_ctl_ext_key_t odd_find(snd_ctl_ext_t *ext, const snd_ctl_elem_id_t *id)
{
	odd_t *odd = ext->private_data;
	unsigned number = snd_ctl_elem_id_get_numid(id);
	if (number > 0 && number <= (unsigned)odd->count)
		return number - 1;
	for (int k = 0; k < odd->count; k++)
		if (!strcmp(snd_ctl_elem_id_get_name(id), odd->elements[k].name))
			return k;
	return SND_CTL_EXT_KEY_NOT_FOUND;
}

static int odd_attribute(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, int *type, unsigned *access,
			 unsigned *count)
{
	const element_t *its = &((odd_t *)ext->private_data)->elements[key];
	*type = its->is_int ? SND_CTL_ELEM_TYPE_INTEGER : SND_CTL_ELEM_TYPE_BOOLEAN;
	*access = SND_CTL_EXT_ACCESS_READWRITE;
	if (its->tlv_words)
		*access |= SND_CTL_EXT_ACCESS_TLV_READ | SND_CTL_EXT_ACCESS_TLV_CALLBACK;
	*count = its->channels;
	return 0;
}

static int odd_info(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *min, long *max, long *step)
{
	const element_t *its = &((odd_t *)ext->private_data)->elements[key];
	*min = its->min;
	*max = its->max;
	*step = 0;
	return 0;
}

static int odd_read(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *value)
{
	odd_t *odd = ext->private_data;
	for (int k = 0; k < odd->elements[key].channels; k++)
		value[k] = odd->values[key][k];
	return 0;
}

static int odd_write(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *value)
{
	odd_t *odd = ext->private_data;
	for (int k = 0; k < odd->elements[key].channels; k++)
		odd->values[key][k] = value[k];
	return 1;
}

static int odd_tlv(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, int op, unsigned numid, unsigned *tlv,
		   unsigned size)
{
	const element_t *its = &((odd_t *)ext->private_data)->elements[key];
	if (op != 0)
		return -EPERM;
	if (its->tlv_words * sizeof *tlv > size)
		return -ENOMEM;
	memcpy(tlv, its->tlv, its->tlv_words * sizeof *tlv);
	return 0;
}

static int odd_event(snd_ctl_ext_t *ext, snd_ctl_elem_id_t *id, unsigned *mask)
{
	return -EAGAIN;
}

static const snd_ctl_ext_callback_t callbacks = {
	.close = odd_close, .elem_count = odd_count, .elem_list = odd_list, .find_elem = odd_find,
	.get_attribute = odd_attribute, .get_integer_info = odd_info, .read_integer = odd_read,
	.write_integer = odd_write, .read_event = odd_event,
};

static void decibels(element_t *its, const char *text)
{
	int low, high, mute;
	if (sscanf(text, "scale:%d,%d,%d", &low, &high, &mute) == 3) {
		unsigned words[] = {SND_CTL_TLVT_DB_SCALE, 8, low, high | (mute ? 0x10000 : 0)};
		memcpy(its->tlv, words, sizeof words);
	} else if (sscanf(text, "minmaxmute:%d,%d", &low, &high) == 2) {
		unsigned words[] = {SND_CTL_TLVT_DB_MINMAX_MUTE, 8, low, high};
		memcpy(its->tlv, words, sizeof words);
	} else if (sscanf(text, "minmax:%d,%d", &low, &high) == 2) {
		unsigned words[] = {SND_CTL_TLVT_DB_MINMAX, 8, low, high};
		memcpy(its->tlv, words, sizeof words);
	} else {
		return;
	}
	its->tlv_words = 4;
}

static void read_elements(odd_t *odd, FILE *file)
{
	char line[256];
	while (fgets(line, sizeof line, file) && odd->count < MOST) {
		element_t its = {0};
		char kind[8], tlv[64];
		line[strcspn(line, "\n")] = 0;
		int found = sscanf(line, "%43[^|]|%7[^|]|%d|%ld|%ld|%63[^|]|%ld", its.name, kind,
				   &its.channels, &its.min, &its.max, tlv, &its.first);
		if (line[0] == '#' || found < 6)
			continue;
		if (found < 7)
			its.first = its.min;
		its.is_int = !strcmp(kind, "int");
		decibels(&its, tlv);
		odd->elements[odd->count++] = its;
	}
}

SND_CTL_PLUGIN_DEFINE_FUNC(oddctl)
{
	snd_config_iterator_t each, next;
	const char *path = NULL;
	char state[4096];
	struct stat its;
	snd_config_for_each(each, next, conf) {
		snd_config_t *node = snd_config_iterator_entry(each);
		const char *id;
		if (snd_config_get_id(node, &id) >= 0 && !strcmp(id, "file"))
			snd_config_get_string(node, &path);
	}
	FILE *file = path ? fopen(path, "r") : NULL;
	if (!file)
		return -ENOENT;
	odd_t *odd = calloc(1, sizeof *odd);
	read_elements(odd, file);
	fclose(file);
	snprintf(state, sizeof state, "%s.state", path);
	size_t size = MOST * sizeof *odd->values;
	int fd = open(state, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	fstat(fd, &its);
	int fresh = (size_t)its.st_size < size;
	if (ftruncate(fd, size) < 0) {
		close(fd);
		free(odd);
		return -errno;
	}
	odd->values = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	for (int k = 0; fresh && k < odd->count; k++)
		for (int channel = 0; channel < CHANNELS; channel++)
			odd->values[k][channel] = odd->elements[k].first;
	odd->ext.version = SND_CTL_EXT_VERSION;
	strcpy(odd->ext.id, "odd");
	strcpy(odd->ext.driver, "odd");
	strcpy(odd->ext.name, "odd");
	strcpy(odd->ext.longname, "odd");
	strcpy(odd->ext.mixername, "odd");
	odd->ext.poll_fd = -1;
	odd->ext.callback = &callbacks;
	odd->ext.private_data = odd;
	odd->ext.tlv.c = odd_tlv;
	int error = snd_ctl_ext_create(&odd->ext, name, mode);
	if (error < 0) {
		odd_close(&odd->ext);
		return error;
	}
	*handlep = odd->ext.handle;
	return 0;
}
SND_CTL_PLUGIN_SYMBOL(oddctl);
