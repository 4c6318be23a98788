"""Fields of models that hold names and ids. Pure."""

from typing import Annotated, TypeAlias

from pydantic import Field

from kiosk.base.names import NAME, SHORT_ID

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
AgentIdOrEmpty: TypeAlias = Annotated[
    str,
    Field(
        pattern=f"^{_AGENT_ID}{{0,128}}$",
        description="must be the id of an agent, as ElevenLabs shows it",
    ),
]
RoleOrEmpty: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^[a-z_][a-z0-9_]{0,62}$|^$",
        description="must be the name of a PostgreSQL role: small letters, digits and underscores",
    ),
]
