"""A whole virtual machine, set up by the playbooks: `make vm-test`, as root."""
