"""The demo for a reader: a live timeline, then a summary."""

import heapq
import io
from collections.abc import Callable, Sequence
from textwrap import shorten
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from kiosk.lab.demo.live import Exchange
from kiosk.lab.demo.report import Chain
from kiosk.lab.demo.runner import Spoken
from kiosk.lab.demo.servers import AgentEvent
from kiosk.moments import Moment, What
from kiosk.visit.languages import load_language

_WIDTH = 80  # a terminal's own
_SHORT = 34
# So late some things are told: the agent's are on their way, a sound is known by when it is heard.
_LATE_S = 1.0
_STYLES = {"visitor": "bold cyan", "kiosk": "dim", "agent": "green", "": "dim"}

# What a reader wants to know of a kiosk's moment; others are for the file.
_KIOSK: dict[What, str] = {
    What.PRESSED: "the button is pressed",
    What.EARCON_HEARD: "a chime sounds: {earcon}",
    What.SENTENCE_HEARD: "says itself: {text}",
    What.CONNECTED: "connected as {conversation_id}",
    What.STATE: "is {state}",
    What.AGENT_HEARD: "the agent's voice is heard",
    What.DUCKED: "somebody speaks over it: it plays more softly",
    What.INTERRUPTED: "interruption: the agent's voice is cut",
    What.DRAINED: "the agent's last word was heard",
    What.QUEUED: "is held in the agent's queue",
    What.ADMITTED: "is admitted from the queue",
    What.TOOL_CALLED: "runs the tool {tool} for the agent",
    What.MALFORMED: "ignores a frame: {why}",
    What.LOST: "lost the conversation ({kind}), tries again",
    What.VISIT_ENDED: "the visit is over: {kind}",
    What.DEVICE_LOST: "{device} lost: {detail}",
}
# Without a script this is too much to read.
_NOT_LIVE = frozenset({What.DUCKED, What.DRAINED, What.CONNECTED, What.AGENT_HEARD})
_AGENT: dict[str, str] = {
    "heard": "hears: {text}",
    "read": "reads: {text}",
    "agent_started": "answers: {text}",
}


class DemoPrinter:
    """Writes lines with the time since the press, in the order of time. `live`: without a script,
    at once."""

    def __init__(
        self,
        show: Callable[[str], None],
        language: str = "en",
        *,
        colour: bool = False,
        live: bool = False,
    ) -> None:
        self._show = show
        self._colour = colour
        self._live = live
        self._sentences = load_language(language).said("")
        self._waiting: list[tuple[float, int, str, str]] = []
        self._newest_s = 0.0
        self._kept = 0
        self._pressed_s: float | None = None
        self.chains = 0  # how many were shown

    def note(self, text: str) -> None:
        self._line(None, "", text)

    def happened(self, event: Moment | Spoken | AgentEvent) -> None:
        match event:
            case Moment(what=what, at_s=at_s):
                if what is What.PRESSED and self._pressed_s is None:
                    self._pressed_s = at_s
                if what in _KIOSK and not (self._live and what in _NOT_LIVE):
                    fields = {**event.fields, "text": self._text(event.fields.get("key"))}
                    self._later(at_s, "kiosk", _KIOSK[what].format_map(fields))
            case Spoken(line, started_s):
                # A line is told before it is said: until then other things happen.
                self._keep(started_s, "visitor", f"says: {line.text or line.name}")
            case {"event": "heard", "text": None, "at_s": float(at_s)}:
                self._later(at_s, "agent", "hears something, and understands none of it")
            case {"event": str(name), "at_s": float(at_s)} if name in _AGENT:
                self._later(at_s, "agent", _AGENT[name].format_map(event))

    def _text(self, key: object) -> str:
        return self._sentences.get(str(key), str(key))

    def _later(self, at_s: float, who: str, text: str) -> None:
        """A line, once nothing earlier is to be expected any more."""
        self._keep(at_s, who, text)
        self._newest_s = max(self._newest_s, at_s)
        self._flush(self._newest_s if self._live else self._newest_s - _LATE_S)

    def _keep(self, at_s: float, who: str, text: str) -> None:
        self._kept += 1  # of those of one time the first that was told comes first
        heapq.heappush(self._waiting, (at_s, self._kept, who, text))

    def _flush(self, until_s: float = float("inf")) -> None:
        while self._waiting and self._waiting[0][0] <= until_s:
            at_s, _, who, text = heapq.heappop(self._waiting)
            self._line(at_s, who, text)

    def chain(self, chain: Chain) -> None:
        """Where the time of an answer went, once it was heard."""
        self.chains += 1
        self._later(
            self._newest_s,
            "",
            f"after the visitor's last sound: {chain.at_agent_ms:.0f} ms it is sent and at the "
            f"agent, {chain.answered_ms:.0f} ms the answer arrives, {chain.heard_ms:.0f} ms it is "
            "heard",
        )

    def talked(self, turns: Sequence[Exchange]) -> None:
        """What was asked without a script, and answered."""
        self._flush()
        table = Table(title="What was said", title_justify="left", expand=True)
        for heading in ("asked", "answered", "answer after"):
            table.add_column(heading, no_wrap=heading == "answer after")
        for turn in turns:
            after_ms = None
            if turn.answered_s is not None:
                after_ms = (turn.answered_s - turn.asked_s) * 1000
            heard = turn.heard or "(not understood)"
            table.add_row(heard, turn.said or "(nothing)", _ms(after_ms))
        if turns:
            self._print(table)

    def summary(self, result: dict[str, Any]) -> None:
        self._flush()
        table = Table(title="What was said", title_justify="left", expand=True)
        for heading in ("heard by the agent", "answered", "answer after", "own share"):
            numeric = heading in ("answer after", "own share")
            table.add_column(heading, justify="right" if numeric else "left", no_wrap=numeric)
        for turn in result["turns"]:
            table.add_row(
                turn["heard"] or "(not understood)",
                shorten(turn["said"] or "(nothing)", _SHORT, placeholder=" ..."),
                _ms(turn["response_latency_ms"]),
                _ms(turn["own_share_ms"]),
            )
        self._print(table)
        figures = Table(show_header=False, box=None)
        for name, value in (
            ("press to light", result["press_to_light_ms"]),
            ("press to chime", result["press_to_earcon_ms"]),
            ("press to listening", result["press_to_listening_ms"]),
            ("microphone to wire, median", result["mic_to_wire_ms"]["p50"]),
            ("wire to speaker, median", result["wire_to_speaker_ms"]["p50"]),
            ("interruption to silence", result["barge_in"]["interruption_to_silence_ms"]),
        ):
            figures.add_row(name, _ms(value))
        self._print(figures)
        for error in result["errors"]:
            self._print(Text(f"not as it should be: {error}", style="red"))
        if result["ok"]:
            self._print(Text("Everything was heard right and answered.", style="bold green"))

    def outcome(self, result: dict[str, Any]) -> None:
        """How a fault script ended."""
        self._flush()
        self._print(Text(f"{result['scenario']}: {result['summary']}"))
        after = result["ending_after_s"]
        took = "" if after is None else f", {after:.1f} s after the press"
        self._print(Text(f"The visit ended: {result['ending']}{took}."))
        for error in result["errors"]:
            self._print(Text(f"not as it should be: {error}", style="red"))
        if result["ok"]:
            self._print(Text("That is as it should be.", style="bold green"))

    def _line(self, at_s: float | None, who: str, text: str) -> None:
        since = 0.0 if at_s is None or self._pressed_s is None else at_s - self._pressed_s
        stamp = f"{since:8.3f} s" if at_s is not None and self._pressed_s is not None else " " * 10
        line = Table.grid(padding=(0, 1))
        line.add_row(Text(stamp, style="dim"), Text(f"{who:8}", style=_STYLES[who]), Text(text))
        self._print(line)

    def _print(self, renderable: RenderableType) -> None:
        buffer = io.StringIO()
        Console(file=buffer, width=_WIDTH, force_terminal=self._colour, highlight=False).print(
            renderable
        )
        lines = buffer.getvalue().splitlines()
        self._show("\n".join(line.rstrip() for line in lines))


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
