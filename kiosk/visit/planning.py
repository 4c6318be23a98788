"""The plan of visits, made of the settings. Pure: no I/O, no clock."""

from collections.abc import Mapping
from typing import cast

from kiosk import __version__
from kiosk.config import Settings
from kiosk.convai.client_messages import Initiation, UserActivity
from kiosk.convai.fields import Json
from kiosk.convai.frames import serialize
from kiosk.visit.plan import Compat, Plan
from kiosk.visit.states import table_for

# What popular guides tell clients to send, for `convai.compat`.
_KEEP_ALIVES = {"off": None, "space": " ", "user_activity": serialize(UserActivity())}
_END_OF_STREAM = '{"text": ""}'


def plan_of(settings: Settings) -> Plan:
    """What the settings say about visits."""
    visit, button, agent = settings.visit, settings.button, settings.agent
    compat = settings.convai.compat
    initiation = Initiation(
        overrides=agent.overrides.on_the_wire(),
        dynamic_variables=cast("Mapping[str, Json]", agent.variables),
        custom_llm_extra_body=agent.custom_llm_extra_body,
        user_id=settings.kiosk.name,
        source="unknown",  # the contract's word for a client that is none of its SDKs
        version=__version__,
        branch_id=agent.branch_id,
        environment=agent.environment,
    )
    return Plan(
        table=table_for(button.mode, button.while_speaking),
        initiation=initiation,
        language=settings.kiosk.language,
        max_s=visit.max_s,
        warning_s=visit.warning_s,
        idle_s=visit.idle_s,
        answer_s=visit.answer_s,
        connect_s=visit.connect_s,
        queue_s=visit.queue_s,
        reconnects=visit.reconnects,
        preroll_ms=settings.gate.preroll_ms,
        duck_s=settings.echo.duck_s,
        hangover_s=settings.gate.hangover_ms / 1000,
        disclosure=visit.disclosure is True,  # a sign says it without a voice
        held_button=button.mode == "hold",
        trial_calls=agent.trial_calls == "always",
        approved_mcp_tools=agent.approved_mcp_tools,
        compat=Compat(
            keep_alive=_KEEP_ALIVES[compat.keep_alive],
            keep_alive_s=compat.keep_alive_s,
            last_frame=_END_OF_STREAM if compat.end_of_stream else None,
        ),
    )
