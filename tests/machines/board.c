// SPDX-License-Identifier: GPL-2.0
/* A Raspberry Pi 4's revision, where gpiozero looks for it: this machine has no device tree. */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

static struct proc_dir_entry *tree;

static int show_revision(struct seq_file *file, void *unused)
{
	static const u8 revision[] = { 0x00, 0xc0, 0x31, 0x15 };

	return seq_write(file, revision, sizeof(revision));
}

static int __init board_init(void)
{
	struct proc_dir_entry *system;

	tree = proc_mkdir("device-tree", NULL);
	system = tree ? proc_mkdir("system", tree) : NULL;
	if (!system || !proc_create_single("linux,revision", 0444, system, show_revision)) {
		proc_remove(tree);
		return -ENOMEM;
	}
	return 0;
}

static void __exit board_exit(void)
{
	proc_remove(tree);
}

module_init(board_init);
module_exit(board_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A Raspberry Pi 4's revision");
