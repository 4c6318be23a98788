"""Names that operators give, and ids that machines make: what they may look like. Pure."""

import re
from typing import Annotated, Final, TypeAlias

from pydantic import Field

# What stands in journals, addresses and file names as it is: kiosks, sites, presses, requests.
NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Of a row that the backend keeps: none that begins with a dot or looks like an option.
RECORD_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What the backend and the service number their things with.
SHORT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
LONG_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_AGENT_ID = r"[A-Za-z0-9._-]"

Name: TypeAlias = Annotated[
    str,
    Field(
        pattern=f"^{NAME.pattern}$",
        description="may have letters (A to Z), digits, dots, hyphens and underscores, up to 64, "
        "and no space",
    ),
]
ShortId: TypeAlias = Annotated[str, Field(pattern=f"^{SHORT_ID.pattern}$")]
AgentId: TypeAlias = Annotated[str, Field(pattern=f"^{_AGENT_ID}{{1,128}}$")]
# Of a setting that may be left empty.
AgentIdOrNone: TypeAlias = Annotated[
    str,
    Field(
        pattern=f"^{_AGENT_ID}{{0,128}}$",
        description="must be the id of an agent, as ElevenLabs shows it",
    ),
]
RoleOrNone: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^[a-z_][a-z0-9_]{0,62}$|^$",
        description="must be the name of a PostgreSQL role: small letters, digits and underscores",
    ),
]
