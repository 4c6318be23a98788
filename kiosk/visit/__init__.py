"""THE VISIT: from the press until the kiosk is idle again.

`states` is the plan as a table, `host` the one task that follows it; `uplink` and `downlink` carry
sound, `conversation` holds one ConvAI connection, `speech` is the kiosk's own voice, `feedback`
what lamps and earcons say. This room knows ports and the wire, never a driver.
"""
