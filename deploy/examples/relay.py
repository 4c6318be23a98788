"""A relay that is closed while somebody talks with the kiosk: a light over it, or a door's motor.

python3 relay.py 23 /run/kiosk/control.sock
"""

import json
import socket
import sys

TALKING = ("listening", "thinking", "speaking")


def events(path):
    """The snapshot of a kiosk, and then its events."""
    with socket.socket(socket.AF_UNIX) as kiosk:
        kiosk.connect(path)
        kiosk.sendall(b'{"command": "subscribe", "events": ["state"]}\n')
        for line in kiosk.makefile("rb"):
            answer = json.loads(line)
            yield answer.get("snapshot", answer)


def main(pin, path):
    from gpiozero import OutputDevice  # on the kiosk's own machine it is there

    relay = OutputDevice(pin)
    for event in events(path):
        relay.value = event["state"] in TALKING


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
