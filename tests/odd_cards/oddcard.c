/* A sound card of user space for tests. What it can is in its configuration, its clock is
   CLOCK_MONOTONIC, and what it captures is a file, over and over.

   pcm.x { type oddcard formats "S32_LE,IEC958_SUBFRAME_LE" channels "6" rates "16000"
           start_ms 0 in "FILE.raw" out "FILE.raw" log "FILE" }

   start_ms: so long after the start comes the first sound. log: a line for each start and stop. */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>

#define MOST 32

typedef struct {
	snd_pcm_ioplug_t io;
	snd_pcm_access_t access;
	double started_s;
	int running, timer;
	long start_ms;
	size_t frame_bytes, length;
	unsigned char *heard;
	FILE *out, *log;
} odd_t;

static double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

static void note(odd_t *odd, const char *what)
{
	if (!odd->log)
		return;
	fprintf(odd->log, "%.3f %s\n", now_s(), what);
	fflush(odd->log);
}

static int odd_start(snd_pcm_ioplug_t *io)
{
	odd_t *odd = io->private_data;
	struct itimerspec every = {{0, 5000000}, {0, 5000000}};
	odd->started_s = now_s() + odd->start_ms / 1000.0;
	odd->running = 1;
	note(odd, "start");
	return timerfd_settime(odd->timer, 0, &every, NULL);
}

static int odd_stop(snd_pcm_ioplug_t *io)
{
	odd_t *odd = io->private_data;
	odd->running = 0;
	note(odd, "stop");
	return 0;
}

static snd_pcm_sframes_t odd_pointer(snd_pcm_ioplug_t *io)
{
	odd_t *odd = io->private_data;
	double since_s = now_s() - odd->started_s;
	uint64_t moved = since_s > 0 ? (uint64_t)(since_s * io->rate) : 0;
	if (!odd->running)
		return 0;
	if (io->stream == SND_PCM_STREAM_PLAYBACK) {
		if (moved >= io->appl_ptr && io->state == SND_PCM_STATE_RUNNING)
			return -EPIPE;
	} else if (moved > io->appl_ptr + io->buffer_size) {
		return -EPIPE;
	}
	return moved % io->buffer_size;
}

static snd_pcm_sframes_t odd_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
				      snd_pcm_uframes_t offset, snd_pcm_uframes_t frames)
{
	odd_t *odd = io->private_data;
	size_t bytes = odd->frame_bytes;
	unsigned char *at = (unsigned char *)areas->addr + (areas->first + areas->step * offset) / 8;
	uint64_t number = io->appl_ptr;
	if (io->stream == SND_PCM_STREAM_PLAYBACK) {
		if (odd->out) {
			fwrite(at, bytes, frames, odd->out);
			fflush(odd->out);
		}
		return frames;
	}
	if (odd->access == SND_PCM_ACCESS_MMAP_INTERLEAVED) {
		uint64_t size = io->buffer_size;
		number += (offset + size - number % size) % size;
	}
	if (!odd->length) {
		memset(at, 0, frames * bytes);
		return frames;
	}
	for (snd_pcm_uframes_t k = 0; k < frames; k++)
		memcpy(at + k * bytes, odd->heard + (number + k) % (odd->length / bytes) * bytes, bytes);
	return frames;
}

static int odd_prepare(snd_pcm_ioplug_t *io)
{
	odd_t *odd = io->private_data;
	odd->running = 0;
	odd->frame_bytes = snd_pcm_format_physical_width(io->format) / 8 * io->channels;
	return 0;
}

static int odd_hw_params(snd_pcm_ioplug_t *io, snd_pcm_hw_params_t *params)
{
	return snd_pcm_hw_params_get_access(params, &((odd_t *)io->private_data)->access);
}

static int odd_close(snd_pcm_ioplug_t *io)
{
	odd_t *odd = io->private_data;
	close(odd->timer);
	if (odd->out)
		fclose(odd->out);
	if (odd->log)
		fclose(odd->log);
	free(odd->heard);
	free(odd);
	return 0;
}

static int odd_poll(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned count, unsigned short *revents)
{
	odd_t *odd = io->private_data;
	uint64_t ticks;
	if (read(odd->timer, &ticks, sizeof ticks) < 0)
		ticks = 0;
	*revents = io->stream == SND_PCM_STREAM_PLAYBACK ? POLLOUT : POLLIN;
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
	.start = odd_start, .stop = odd_stop, .pointer = odd_pointer, .transfer = odd_transfer,
	.prepare = odd_prepare, .close = odd_close, .hw_params = odd_hw_params,
	.poll_revents = odd_poll,
};

static int numbers(const char *text, unsigned *found, int are_formats)
{
	char *copy = strdup(text), *rest = NULL;
	int count = 0;
	for (char *word = strtok_r(copy, ", ", &rest); word && count < MOST;
	     word = strtok_r(NULL, ", ", &rest))
		found[count++] = are_formats ? (unsigned)snd_pcm_format_value(word) : (unsigned)atoi(word);
	free(copy);
	return count;
}

static void hear(odd_t *odd, const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return;
	fseek(file, 0, SEEK_END);
	odd->length = ftell(file);
	rewind(file);
	odd->heard = malloc(odd->length);
	odd->length = fread(odd->heard, 1, odd->length, file);
	fclose(file);
}

SND_PCM_PLUGIN_DEFINE_FUNC(oddcard)
{
	snd_config_iterator_t each, next;
	const char *formats = "S16_LE", *channels = "2", *rates = "48000";
	const char *out = NULL, *in = NULL, *log = NULL;
	const unsigned access[] = {SND_PCM_ACCESS_MMAP_INTERLEAVED, SND_PCM_ACCESS_RW_INTERLEAVED};
	unsigned values[MOST];
	long start_ms = 0;
	int error;
	snd_config_for_each(each, next, conf) {
		snd_config_t *node = snd_config_iterator_entry(each);
		const char *id;
		if (snd_config_get_id(node, &id) < 0)
			continue;
		if (!strcmp(id, "formats")) snd_config_get_string(node, &formats);
		else if (!strcmp(id, "channels")) snd_config_get_string(node, &channels);
		else if (!strcmp(id, "rates")) snd_config_get_string(node, &rates);
		else if (!strcmp(id, "out")) snd_config_get_string(node, &out);
		else if (!strcmp(id, "in")) snd_config_get_string(node, &in);
		else if (!strcmp(id, "log")) snd_config_get_string(node, &log);
		else if (!strcmp(id, "start_ms")) snd_config_get_integer(node, &start_ms);
	}
	odd_t *odd = calloc(1, sizeof *odd);
	odd->start_ms = start_ms;
	odd->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (out && stream == SND_PCM_STREAM_PLAYBACK)
		odd->out = fopen(out, "ab");
	if (in && stream == SND_PCM_STREAM_CAPTURE)
		hear(odd, in);
	if (log)
		odd->log = fopen(log, "a");
	odd->io.version = SND_PCM_IOPLUG_VERSION;
	odd->io.name = "odd card";
	odd->io.callback = &callbacks;
	odd->io.private_data = odd;
	odd->io.poll_fd = odd->timer;
	odd->io.poll_events = POLLIN;
	if ((error = snd_pcm_ioplug_create(&odd->io, name, stream, mode)) < 0) {
		free(odd);
		return error;
	}
	snd_pcm_ioplug_set_param_list(&odd->io, SND_PCM_IOPLUG_HW_ACCESS, 2, access);
	snd_pcm_ioplug_set_param_list(&odd->io, SND_PCM_IOPLUG_HW_FORMAT,
				      numbers(formats, values, 1), values);
	snd_pcm_ioplug_set_param_list(&odd->io, SND_PCM_IOPLUG_HW_CHANNELS,
				      numbers(channels, values, 0), values);
	snd_pcm_ioplug_set_param_list(&odd->io, SND_PCM_IOPLUG_HW_RATE,
				      numbers(rates, values, 0), values);
	snd_pcm_ioplug_set_param_minmax(&odd->io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 64, 2 << 20);
	snd_pcm_ioplug_set_param_minmax(&odd->io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 192, 4 << 20);
	*pcmp = odd->io.pcm;
	return 0;
}
SND_PCM_PLUGIN_SYMBOL(oddcard);
