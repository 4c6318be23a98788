"""Turns of the visitor's that end where the table cannot wait for an answer. Pure: no clock."""

from kiosk.visit.states import Event, State


class Turns:
    """Follows one visit's events; `followed` names the event that comes of one, if any does."""

    def __init__(self) -> None:
        self._unheeded = False
        self._skipped_early = False

    def visit_began(self) -> None:
        self._unheeded = self._skipped_early = False

    def followed(self, event: Event, before: State) -> Event | None:
        """An event was acted on in the state `before`."""
        match event:
            case Event.SPEECH_STARTED:
                self._unheeded = self._skipped_early = False
            case Event.SPEECH_ENDED:
                # The agent could not hear it yet, or was speaking.
                self._unheeded = before in (State.OPENING, State.SPEAKING)
                if self._skipped_early:
                    self._skipped_early = False
                    return Event.TURN_SKIPPED
            case Event.TURN_SKIPPED:
                # The gate waits longer than the agent may to say that a turn is over: an agent
                # that will not answer says so before the kiosk thinks it could.
                self._skipped_early = before is State.LISTENING
            case Event.DRAINED:
                self._unheeded = False  # the agent heard it and went on: it was no turn
            case Event.CONNECTED | Event.INTERRUPTED if self._unheeded:
                self._unheeded = False
                return Event.SPEECH_ENDED  # now an answer is waited for
        return None
