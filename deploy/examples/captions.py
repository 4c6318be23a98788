"""Captions of a visit on a terminal, for a screen beside the kiosk; with [control] captions = true.

python3 captions.py /run/kiosk/control.sock
"""

import json
import socket
import sys


def captions(path):
    """Who says what, whenever it is known; an empty text at first, and when a visit is over."""
    wanted = ["caption", "sentence", "visit_ended"]
    with socket.socket(socket.AF_UNIX) as kiosk:
        kiosk.connect(path)
        kiosk.sendall(json.dumps({"command": "subscribe", "events": wanted}).encode() + b"\n")
        for line in kiosk.makefile("rb"):
            match json.loads(line):
                case {"event": "caption", "who": who, "text": text}:
                    yield who, text
                case {"event": "sentence", "text": str(text)}:
                    yield "kiosk", text
                case {"snapshot": _} | {"event": "visit_ended"}:
                    yield "", ""


if __name__ == "__main__":
    for who, text in captions(sys.argv[1]):
        # The screen is cleared: only what was said last is of use, and nothing stays.
        print(f"\x1b[2J\x1b[H{who}\n\n{text}", flush=True)
