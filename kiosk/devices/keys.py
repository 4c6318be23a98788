"""Keys beside the button: what one of the configuration does when it is pressed. Pure."""

from kiosk.config.tables import KeyTable
from kiosk.devices.ports import KeyPressed

# One press is plainly heard, and five take all that may be taken away.
STEP_DB = 6.0
_STEPS = {"up": STEP_DB, "down": -STEP_DB, None: 0.0}


def pressed_key(key: KeyTable) -> KeyPressed:
    """What its press is, for a key without a language."""
    return KeyPressed(key.ask, _STEPS[key.volume])
