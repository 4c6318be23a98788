#!/usr/bin/env python3
"""A tool for the agent, as in "please show the whale in green": deploy/control.md sets it up.

The kiosk has checked the parameters against the configuration. What is printed here is the answer.
"""

import json
import sys
from pathlib import Path

# Where your lights listen: a file here, a serial port or an HTTP request in your house.
LIGHTS = Path(sys.argv[1])


def main() -> None:
    wanted = json.load(sys.stdin)
    LIGHTS.write_text(wanted["colour"] + "\n")
    print(json.dumps({"colour": wanted["colour"], "since": "now"}))


if __name__ == "__main__":
    main()
