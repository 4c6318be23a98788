"""Screen: a page for a display beside the kiosk, which shows what is heard. A process of its own.

It knows the kiosk by the events of the control socket only.
"""
