"""The demo for a reader: a live timeline, then a summary."""

import io
from collections.abc import Callable
from textwrap import shorten
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from kiosk.lab.demo.report import Chain
from kiosk.lab.demo.runner import Spoken
from kiosk.lab.demo.servers import AgentEvent
from kiosk.moments import Moment, What

_WIDTH = 100
_SHORT = 60
_STYLES = {"visitor": "bold cyan", "kiosk": "dim", "agent": "green", "": "dim"}

# What a reader wants to know of a kiosk's moment; others are for the file.
_KIOSK: dict[What, str] = {
    What.PRESSED: "the button is pressed",
    What.EARCON_HEARD: "a chime sounds",
    What.SENTENCE_HEARD: "says its own sentence",
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
_AGENT: dict[str, str] = {
    "heard": "hears: {text}",
    "agent_started": "answers: {text}",
}


class DemoPrinter:
    """Writes lines with the time since the press."""

    def __init__(self, show: Callable[[str], None], *, colour: bool = False) -> None:
        self._show = show
        self._colour = colour
        self._pressed_s: float | None = None
        self.chains = 0  # how many were shown

    def note(self, text: str) -> None:
        self._line(None, "", text)

    def happened(self, event: Moment | Spoken | AgentEvent) -> None:
        match event:
            case Moment(what=what, at_s=at_s):
                if what is What.PRESSED and self._pressed_s is None:
                    self._pressed_s = at_s
                if what in _KIOSK:
                    self._line(at_s, "kiosk", _KIOSK[what].format_map(event.fields))
            case Spoken(line, started_s):
                self._line(started_s, "visitor", f"says: {line.text or line.name}")
            case {"event": str(name), "at_s": float(at_s)} if name in _AGENT:
                self._line(at_s, "agent", _AGENT[name].format_map(event))

    def chain(self, chain: Chain) -> None:
        """Where the time of an answer went, once it was heard."""
        self.chains += 1
        self._line(
            None,
            "",
            f"after the visitor's last sound: {chain.at_agent_ms:.0f} ms it is sent and at the "
            f"agent, {chain.answered_ms:.0f} ms the answer arrives, {chain.heard_ms:.0f} ms it is "
            "heard",
        )

    def summary(self, result: dict[str, Any]) -> None:
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
