"""Port for whoever examines the clients of a local agent; `kiosk.lab.conformance` does."""

from typing import Protocol

from kiosk.agent.client_wire import Witness
from kiosk.agent.faults import FaultPlayer
from kiosk.agent.scenario import Step


class ExaminedConnection(Protocol):
    """One client's connection under examination."""

    @property
    def witness(self) -> Witness: ...

    def refused(self, why: str) -> None:
        """Even a lenient agent cannot talk on what the client asked for."""
        ...

    def faults(self, steps: tuple[Step, ...], conversation: int) -> FaultPlayer:
        """What is played to the client: a script's steps, and the examiner's own."""
        ...

    def end(self, *, closed_by_agent: bool) -> None:
        """The connection is over."""
        ...


class ClientExaminer(Protocol):
    """Examines the clients of one server."""

    def begin(
        self, path: str, user_agent: str, input_format: str, output_format: str
    ) -> ExaminedConnection:
        """A client connects; the formats by their names on the wire."""
        ...
