"""Limits at which the agent ends a conversation: silence of the client, and time."""

import asyncio
from typing import Protocol

from kiosk.agent.admission import Wishes
from kiosk.agent.behaviour import AgentBehaviour
from kiosk.agent.client_wire import Link
from kiosk.base.clock import loop_now_s
from kiosk.convai.server_messages import ErrorReport

_NO_INPUT = ErrorReport(1002, "No input from the client", "transport_receive_timeout")
_TIME_UP = ErrorReport(1000, "Conversation has exceeded maximum duration", "max_duration_exceeded")


class Speaking(Protocol):
    """The conversation that is limited."""

    link: Link

    def fall_silent(self) -> None: ...

    async def speak_last(self, text: str) -> None: ...


class Limits:
    """The clocks of one conversation."""

    def __init__(self, behaviour: AgentBehaviour, wishes: Wishes) -> None:
        self._no_input_s = behaviour.no_input_s
        self._max_duration_s = wishes.max_duration_s or behaviour.max_duration_s
        self._last_message = wishes.last_message
        self._input_s = loop_now_s()

    def input_came(self) -> None:
        """Sound, silence, text or `user_activity`; an answered ping is none of them."""
        self._input_s = loop_now_s()

    async def watch(self, talk: Speaking) -> None:
        """End the conversation when a clock runs out."""
        ends_s = loop_now_s() + self._max_duration_s
        while (now_s := loop_now_s()) < ends_s:
            silent_until_s = self._input_s + self._no_input_s
            if now_s >= silent_until_s:
                talk.fall_silent()
                await talk.link.send(_NO_INPUT)
                await talk.link.close(1002, "No input from the client")
                return
            await asyncio.sleep(min(ends_s, silent_until_s) - now_s)
        talk.fall_silent()
        if self._last_message:
            await talk.speak_last(self._last_message)
        await talk.link.send(_TIME_UP)
        await talk.link.close(1000, "")
