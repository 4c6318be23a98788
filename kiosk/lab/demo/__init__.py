"""THE DEMO: backend, local agent and daemon hold a real conversation on this machine.

Backend and agent are processes of their own, reached through their sockets; the daemon runs
unchanged, on virtual devices. A scripted visitor presses the button and speaks into the room.
Nothing else imports this room.
"""
