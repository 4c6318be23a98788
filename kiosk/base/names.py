"""Names that operators give, and ids that machines make: what they may look like. Pure."""

import re
from typing import Final

# What stands in journals, addresses and file names as it is: kiosks, sites, presses, requests.
NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Of a row that the backend keeps: none that begins with a dot or looks like an option.
RECORD_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What the backend and the service number their things with.
SHORT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
LONG_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
