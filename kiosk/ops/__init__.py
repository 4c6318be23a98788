"""THE OPERATOR: systemd, the journal and the control socket.

This room knows nothing of visits: it is told events by name and answers with what it was given.
Nothing a visitor or agent said passes through it.
"""
