"""Schemas of what operators write for minds, for their editors (JSON Schema 2020-12). Pure."""

import json
from collections.abc import Mapping

from kiosk.backend.mind.flow import Flow
from kiosk.backend.mind.operators_file import OperatorsTable
from kiosk.backend.mind.persona import Persona

_KINDS: Mapping[str, type[OperatorsTable]] = {"flow": Flow, "persona": Persona}


def schema_of(kind: str) -> str:
    """The schema of a `flow` or a `persona`, as a file has it."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= _KINDS[kind].model_json_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
