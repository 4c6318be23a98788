"""IN SERVICE: the daemon that systemd runs."""
