"""From the microphone to the wire, from the wire to the loudspeaker, and silence when interrupted.

Each measured from outside, the same way for the kiosk and for the official Python client. A visit
of each client is held once; the figures share it.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import numpy as np

from kiosk.audio.pcm import INTERNAL_RATE_HZ, PCM_16000, Samples, samples_from_bytes
from kiosk.audio.resample import resample
from kiosk.convai.client_messages import UserAudio
from kiosk.convai.server_messages import AgentAudio, Interruption
from tests.bench.card_visit import CardVisit, feeding, kiosk_visit, noise, peer_visit
from tests.bench.figures import AT_MOST, Figure, percentile, times_better
from tests.bench.tape import RATE_HZ, Clock
from tests.integration.cards import correlation

_LISTENING_S = 15.0
_SETTLING_S = 2.0  # after the beginning of the noise
_TURNS = 30
_TURN_S = 0.3
_INTERRUPTIONS = 20
_PIECE_S = 0.2  # as the agent sends
_LONG_TURN_PIECES = 12
_HUSH_S = 0.6  # from an interruption to the next turn
_PIECE_STEP = RATE_HZ // INTERNAL_RATE_HZ
_AUDIBLE = 300
_RECOGNISED = 0.8  # how alike a piece of the stream must be to what the card got
_FOUND_AGAIN = 0.6


@dataclass
class Latencies:
    """Of one client, in milliseconds."""

    mic_to_wire: list[float] = field(default_factory=list)
    wire_to_speaker: list[float] = field(default_factory=list)
    interruption_to_silence: list[float] = field(default_factory=list)


async def measured(
    visiting: AbstractAsyncContextManager[CardVisit], *, speaker: bool = True
) -> Latencies:
    latencies = Latencies()
    async with visiting as visit:
        await asyncio.sleep(1.0)
        async with feeding(visit.rig, noise(_LISTENING_S)):
            began_s = time.monotonic()
            await asyncio.sleep(_LISTENING_S - 0.5)
        ended_s = time.monotonic() - 0.5
        sent = await _turns(visit) if speaker else []
        cut = await _interruptions(visit) if speaker else []
        messages = [
            (at_s, samples_from_bytes(message.audio))
            for at_s, message in visit.connection.messages
            if isinstance(message, UserAudio) and began_s + _SETTLING_S < at_s < ended_s
        ]
        heard, heard_clock = visit.heard.samples(), visit.heard.clock()
        played, played_clock = visit.played.samples(), visit.played.clock()
    latencies.mic_to_wire = _ages_ms(messages, heard, heard_clock)
    latencies.wire_to_speaker = [_onset_ms(at_s, played, played_clock) for at_s in sent]
    latencies.interruption_to_silence = [_end_ms(at_s, played, played_clock) for at_s in cut]
    return latencies


# --- what the server does ------------------------------------------------------------------------


async def _turns(visit: CardVisit) -> list[float]:
    """Short turns of the agent's, far apart; when each was sent."""
    sent = []
    sound = PCM_16000.encode(_tone(_TURN_S))
    for number in range(1, _TURNS + 1):
        # The steps must not walk in time with anybody's blocks.
        await asyncio.sleep(0.6 + 0.0137 * (number % 11))
        sent.append(time.monotonic())
        await visit.connection.send(AgentAudio(sound, number, True))
    await asyncio.sleep(1.0)
    return sent


async def _interruptions(visit: CardVisit) -> list[float]:
    """Long turns, each cut short; when that was said."""
    cut = []
    sound = PCM_16000.encode(_tone(_PIECE_S))
    for number in range(_TURNS + 1, _TURNS + _INTERRUPTIONS + 1):
        for _ in range(_LONG_TURN_PIECES):
            await visit.connection.send(AgentAudio(sound, number))
        await asyncio.sleep(0.6 + 0.0237 * (number % 9))
        cut.append(time.monotonic())
        await visit.connection.send(Interruption(number))
        await asyncio.sleep(_HUSH_S)
    return cut


def _tone(seconds: float) -> Samples:
    """Loud from its first sample to its last; whole periods, so that pieces join."""
    time_s = np.arange(round(seconds * INTERNAL_RATE_HZ)) / INTERNAL_RATE_HZ
    tone: Samples = np.round(8000 * np.cos(2 * np.pi * 400 * time_s)).astype(np.int16)
    return tone


# --- what was seen -------------------------------------------------------------------------------


def _ages_ms(messages: list[tuple[float, Samples]], heard: Samples, clock: Clock) -> list[float]:
    """Of each message's first sample when the message came, second by second of the stream.

    A second in which somebody lost sound is left out; more than a few of them are no measurement.
    """
    at_wire_rate = resample(heard, RATE_HZ, INTERNAL_RATE_HZ)
    ages: list[float] = []
    piece: list[tuple[float, Samples]] = []
    for message in messages:
        piece.append(message)
        sound = np.concatenate([part for _, part in piece])
        if len(sound) < INTERNAL_RATE_HZ:
            continue
        alike, first = correlation(at_wire_rate, sound) if sound.any() else (0.0, 0)
        for came_s, samples in piece if alike > _RECOGNISED else ():
            ages.append((came_s - clock.at_s(first * _PIECE_STEP)) * 1000)
            first += len(samples)
        piece = []
    share = len(ages) / max(1, len(messages))
    assert share > _FOUND_AGAIN, f"only {share:.0%} of what was sent was found on the tape"
    return ages


def _onset_ms(sent_s: float, played: Samples, clock: Clock) -> float:
    first = clock.index(sent_s)
    loud = np.flatnonzero(np.abs(played[first : first + RATE_HZ]) > _AUDIBLE)
    return float(loud[0]) * 1000 / RATE_HZ if len(loud) else float("nan")


def _end_ms(cut_s: float, played: Samples, clock: Clock) -> float:
    first = clock.index(cut_s)
    window = round(_HUSH_S * RATE_HZ * 0.9)  # ends before the next turn can begin
    loud = np.flatnonzero(np.abs(played[first : first + window]) > _AUDIBLE)
    return float(loud[-1] + 1) * 1000 / RATE_HZ if len(loud) else 0.0


# --- the figures ---------------------------------------------------------------------------------


def figures() -> Iterator[Figure]:
    ours, peer, short = asyncio.run(_all())
    of_mic = "microphone to wire, oldest sample"
    p50 = {who: percentile(each.mic_to_wire, 50) for who, each in (("us", ours), ("peer", peer))}
    yield Figure(f"{of_mic}, p99", "ms", percentile(ours.mic_to_wire, 99), AT_MOST(50))
    yield Figure(f"{of_mic}, p50", "ms", p50["us"], times_better(4), p50["peer"])
    for percent in (50, 99):
        yield Figure(
            f"{of_mic}, p{percent} (peer with blocks of 20 ms)",
            "ms",
            percentile(ours.mic_to_wire, percent),
            times_better(1),
            percentile(short.mic_to_wire, percent),
        )
    for percent, limit in ((50, 40), (99, 80)):
        yield Figure(
            f"wire to speaker, p{percent}",
            "ms",
            percentile(ours.wire_to_speaker, percent),
            AT_MOST(limit),
            percentile(peer.wire_to_speaker, percent),
        )
    alone = asyncio.run(_without_canceller())
    name = "wire to speaker, p50 (no echo canceller, whose reference needs 10 ms)"
    yield Figure(name, "ms", percentile(alone, 50), AT_MOST(5))
    for percent, bar in ((50, None), (99, AT_MOST(15))):
        yield Figure(
            f"interruption to silence, p{percent}",
            "ms",
            percentile(ours.interruption_to_silence, percent),
            bar,
            percentile(peer.interruption_to_silence, percent),
        )


async def _without_canceller() -> list[float]:
    async with kiosk_visit('[echo]\nmode = "off"') as visit:
        await asyncio.sleep(1.0)
        sent = await _turns(visit)
        played, clock = visit.played.samples(), visit.played.clock()
    return [_onset_ms(at_s, played, clock) for at_s in sent]


async def _all() -> tuple[Latencies, Latencies, Latencies]:
    ours = await measured(kiosk_visit())
    peer = await measured(peer_visit())
    short = await measured(peer_visit("--input-frames", "320"), speaker=False)
    return ours, peer, short
