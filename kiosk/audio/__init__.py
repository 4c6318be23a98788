"""THE SIGNAL. Pure: no I/O, no clock, no threads; what is known of time comes in as an argument.

Inside the kiosk audio is a one-dimensional numpy array of int16 samples, mono; `Samples` is its
type. Bytes exist only at the edges: the sound card and the wire.
"""
