"""Kiosks simulated: random visitors, random faults, and what must always hold.

One `World` plays visits and judges; what stands in it differs by level. Counted: host,
conversation, wire, uplink, downlink, leases and the local agent's protocol are the real ones; sound
is counted in samples, and where nothing is said the card delivers nothing. Sounded: the whole
daemon with its threads, on virtual cards in a room. Both are in virtual time. Real: the same in the
machine's own, with agent and backend as processes.
"""
