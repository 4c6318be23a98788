"""A fleet of booted systems, set up by the playbooks over ssh: `make boot-test`, as root."""
