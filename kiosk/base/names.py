"""Names that operators give, and ids that machines make: what they may look like. Pure."""

from typing import Annotated, TypeAlias

from pydantic import Field

Name: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="may have letters (A to Z), digits, dots, hyphens and underscores, up to 64, "
        "and no space",
    ),
]
