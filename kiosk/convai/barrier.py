"""The barrier: which of the agent's sound is stale after a cut. Pure: no I/O, no clock.

Sound is known by the id of its exchange, never by texts or by `is_final`: the service sends a
turn's text up to seconds after its first sound, even if it was cut, and `is_final` is never true
(seen live). Where ids begin anew without a word, a transcript and sound of one lower id tell. Where
sound has no ids, what was cut is stale up to the next transcript, a last chunk, or a second without
sound.
"""

from kiosk.convai.server_messages import AgentAudio

_QUIET_S = 1.0


class Barrier:
    """What was cut in one conversation, by the server's interruptions and by the button."""

    def __init__(self) -> None:
        self.newest_id = 0  # of all sound that came, stale or not
        self._stale_id = -1
        self._stale_s = float("-inf")  # when stale sound last came
        self._transcribed_id: int | None = None  # of a transcript that came since, not above it
        self._unnamed_stale_s: float | None = None  # when stale sound without an id last came
        self._unnamed_goes_on = False

    def passes(self, audio: AgentAudio, at_s: float) -> bool:
        """Whether this sound, received at `at_s`, is to be heard."""
        if audio.event_id is None:
            return self._unnamed_passes(audio, at_s)
        self._unnamed_goes_on = False
        if audio.event_id <= self._stale_id:
            if not self._begins_anew(audio.event_id, at_s):
                self.newest_id = max(self.newest_id, audio.event_id)
                self._stale_s = at_s
                return False
            self.newest_id, self._stale_id = audio.event_id, audio.event_id - 1
        self.newest_id = max(self.newest_id, audio.event_id)
        return True

    def interrupted(self, event_id: int | None, at_s: float) -> int | None:
        """The server cut what has this id or less (None: all sound so far). Up to which id sound is
        stale now; None if that was cut before."""
        late = event_id is not None and event_id <= self._stale_id
        if late and (event_id != self._stale_id or self.newest_id > self._stale_id):
            return None  # late, or said twice: what it cuts is cut, and what sounds now is newer
        self._stale_id = max(self._stale_id, self.newest_id if event_id is None else event_id)
        self._stale_s, self._transcribed_id = at_s, None
        return self._stale_id

    def cut(self, at_s: float) -> None:
        """The visitor's button cut all sound so far, of which more may come."""
        self._stale_id = max(self._stale_id, self.newest_id)
        self._stale_s, self._transcribed_id = at_s, None
        self._unnamed_stale_s = at_s if self._unnamed_goes_on else None

    def next_turn(self, event_id: int | None) -> None:
        """A transcript with this id came: sound without an id is an answer to it."""
        self._unnamed_stale_s = None
        if event_id is not None and event_id <= self._stale_id:
            self._transcribed_id = event_id

    def _begins_anew(self, event_id: int, at_s: float) -> bool:
        """Whether stale sound is an answer to a transcript that came after the cut: of a lower id,
        or of the same, for which a server may have one only, once the cut turn is over."""
        over = at_s - self._stale_s > _QUIET_S
        return event_id == self._transcribed_id and (event_id < self._stale_id or over)

    def _unnamed_passes(self, audio: AgentAudio, at_s: float) -> bool:
        since_s, self._unnamed_goes_on = self._unnamed_stale_s, not audio.is_final
        if since_s is None or at_s - since_s > _QUIET_S:
            self._unnamed_stale_s = None
            return True
        self._unnamed_stale_s = None if audio.is_final else at_s
        return False
