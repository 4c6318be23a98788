"""Status of a running kiosk beside its state and its levels, for the doctor to ask."""

import os
from collections.abc import Sequence
from typing import TypeAlias

from kiosk import __version__
from kiosk.base.clock import REAL, Clock
from kiosk.devices.ports import Button, ButtonEdge
from kiosk.moments import (
    DeviceLost,
    DeviceOpened,
    LinkMeasured,
    Moment,
    RoomMeasured,
    VisitEnded,
)

_Value: TypeAlias = str | int | float | list[int] | None


class StatusReport:
    """An observer of moments and of the button; `status` is for the control socket."""

    def __init__(self, name: str, clock: Clock = REAL) -> None:
        self._clock = clock
        self._name = name
        self._began_s = self._clock.now_s()
        self._down_s: float | None = None
        self._cards: dict[str, _Value] = {
            "microphone": None,
            "microphone_open": None,
            "speaker": None,
            "speaker_open": None,
        }
        self._last_ending: str | None = None
        self._last_round_trip_ms: float | None = None
        self._last_way: str | None = None
        self._last_ending_detail: _Value = None

    @property
    def uptime_s(self) -> int:
        return round(self._clock.now_s() - self._began_s)

    def on_button(self, edge: ButtonEdge) -> None:
        self._down_s = edge.at_s if edge.pressed else None

    def observe(self, moment: Moment) -> None:
        match moment:
            case DeviceOpened() | DeviceLost():
                self._cards[moment.device] = moment.detail
                self._cards[f"{moment.device}_open"] = isinstance(moment, DeviceOpened)
            case LinkMeasured():
                self._last_round_trip_ms, self._last_way = moment.round_trip_ms, "websocket"
            case RoomMeasured():
                self._last_round_trip_ms, self._last_way = moment.round_trip_ms, moment.way
            case VisitEnded():
                self._last_ending = moment.kind
                self._last_ending_detail = moment.detail

    def status(self, buttons: Sequence[Button], *, ready: bool) -> dict[str, _Value]:
        """By the button and its keys. `button_down_s` is None while it is up; `button_edges`: how
        often each one's line has changed; `gids` are those of the process."""
        button, down_s = buttons[0], None
        if button.pressed:  # by its own word: a button that is stuck from the start has no edge
            down_s = self._clock.now_s() - (self._down_s or self._began_s)
        return {
            "kiosk": self._name,
            "version": __version__,
            "uptime_s": self.uptime_s,
            "ready": ready,
            "uid": os.getuid(),
            "gids": " ".join(map(str, sorted({os.getgid(), *os.getgroups()}))),
            "button_down_s": None if down_s is None else round(down_s, 1),
            "button_edges": [each.edges for each in buttons],
            "last_round_trip_ms": self._last_round_trip_ms,
            "last_way": self._last_way,
            "last_ending": self._last_ending,
            "last_ending_detail": self._last_ending_detail,
            **self._cards,
        }
