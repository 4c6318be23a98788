"""A strip of lights that follows the kiosk: calm while it waits, with the voice while it listens.

It writes a line of colour and brightness; most controllers of strips read such a line from a serial
port. To try it without one:

    python3 light_strip.py /run/kiosk/control.sock
"""

import json
import socket
import sys

COLOURS = {
    "idle": "white", "opening": "yellow", "queued": "yellow", "listening": "green",
    "thinking": "blue", "speaking": "violet", "closing": "white", "unfit": "off",
}  # fmt: skip


def follow(path, show):
    """Call `show` with a colour and a brightness from 0 to 100, whenever either changes."""
    colour, brightness = "white", 30
    with socket.socket(socket.AF_UNIX) as kiosk:
        kiosk.connect(path)
        kiosk.sendall(b'{"command": "subscribe", "events": ["lamp", "level"]}\n')
        for line in kiosk.makefile("rb"):
            answer = json.loads(line)
            event = answer.get("snapshot", answer)
            if "lamp" in event:
                colour, brightness = COLOURS.get(event["lamp"], "white"), 30
            elif "dbfs" in event:  # from a whisper to a shout
                brightness = round(max(0, min(100, (event["dbfs"] + 60) * 2.5)))
            show(colour, brightness)


if __name__ == "__main__":
    follow(sys.argv[1], lambda colour, brightness: print(colour, brightness, flush=True))
