"""Machines for the tests: whole Debian systems, booted with their own systemd, as root only."""
