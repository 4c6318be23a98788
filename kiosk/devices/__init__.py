"""THE EDGES: microphone, loudspeaker, button and lamps.

The only room with threads: one per sound direction, plus gpiozero's own for the button. A thread
reaches the event loop through `bridge.Outbox` alone. Drivers import their library when they are
opened, so that a machine without the hardware can import this room.
"""
