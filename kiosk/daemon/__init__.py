"""IN SERVICE: the daemon that systemd runs.

`kiosk` wires the rooms together; nothing here knows how a visit goes or what a frame means.
"""
