"""Kiosks simulated in virtual time: random visitors, random faults, and what must always hold.

Counted: host, conversation, wire, uplink, downlink, leases and the local agent's protocol are the
real ones; sound is counted in samples, and where nothing is said the card delivers nothing.
"""
