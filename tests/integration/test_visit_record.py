"""The journal's record of a whole visit: every stage was timed, and nobody's words are in it."""

import asyncio
import logging
from pathlib import Path

import pytest

from kiosk.audio.pcm import samples_to_bytes
from kiosk.convai.server_messages import AgentAudio, AgentResponse, UserTranscript
from kiosk.listeners.visit_record import FIELDS
from kiosk.moments import What
from kiosk.visit.states import Event, State
from tests.convai_server import scripted_server
from tests.integration.sounds import quiet_room, tone, words
from tests.lockstep import in_lockstep
from tests.virtual_kiosk import settings, virtual_kiosk

# What did not happen in this visit has no time.
NOT_HERE = {
    "language", "queue_ms", "round_trip_ms", "jitter_ms", "lost_by", "unanswered_ms", "stall_ms",
}  # fmt: skip


@in_lockstep
async def test_a_visit_leaves_one_record_with_its_times_and_counts(
    short_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        scripted_server() as server,
        virtual_kiosk(settings(short_dir, server.url), quiet_room()) as kiosk,
    ):
        kiosk.room.say(words(1.5), kiosk.button.press())
        connection = await server.connection()
        await kiosk.state(State.THINKING)
        await connection.send(
            UserTranscript("where is the marzipan", 1),
            AgentResponse("the marzipan is upstairs", 1),
            AgentAudio(samples_to_bytes(tone(440, 0.5)), 1, True),
        )
        await kiosk.moment(What.DRAINED)
        await asyncio.sleep(0.1)
        kiosk.host.post(Event.HANG_UP)
        await kiosk.state(State.IDLE)
    entries = [record.__dict__.get("journal", {}) for record in caplog.records]
    [record] = [entry for entry in entries if entry.get("KIOSK_EVENT") == "visit_ended"]
    told = {name: record.get(f"KIOSK_{name.upper()}") for name in FIELDS}
    assert {name for name, value in told.items() if value is None} == NOT_HERE
    times_ms = {name: float(told[name]) for name in FIELDS if name.endswith("_ms") and told[name]}
    assert all(0 <= value < 5000 for value in times_ms.values()), times_ms
    assert times_ms["light_ms"] <= times_ms["lease_ms"] <= times_ms["connect_ms"]
    assert (told["turns"], told["answers"], told["gate_openings"]) == ("1", "1", "1")
    assert "marzipan" not in str(entries)
    assert "127.0.0.1" not in str(entries)
