"""The echo canceller and the chain behind it, in simulated rooms."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from statistics import median

import numpy as np

from kiosk.agent.guide import load_guide
from kiosk.agent.recogniser import Recogniser
from kiosk.audio.capture import CapturedChunk
from kiosk.audio.ducking import Ducking
from kiosk.audio.echo import ONSET_GUARD_MS, REFERENCE_LEAD_S, EchoCanceller
from kiosk.audio.gate import Edge
from kiosk.audio.linear_echo import BLOCK, LinearCanceller
from kiosk.audio.pcm import CHUNK_MS, Samples, silence
from kiosk.audio.suppressor import Suppressor
from tests.bench.figures import AT_MOST, Figure, at_least
from tests.bench.gate_sweep import HELD_OUT, PREROLL_MS, noise
from tests.bench.rooms import (
    HZ,
    LEVEL_DBFS,
    RT60_S,
    SEEDS,
    Floats,
    Place,
    agent_speech,
    at_level,
    captured,
    chunk_at,
    floor,
    questions,
    through_the_card,
    visitor_in,
)

_ALONE_S = 600
_UTTERANCES = 208
_BARGE_INS = 20
_CARD_BUFFER_S = 0.08
_DUCK_S = 0.8
# Around an utterance: the agent goes on talking here, as no server would let it.
_MARGIN_S = 0.2


# --- how much of the echo is left ---------------------------------------------------------------


def loss_figures() -> Iterator[Figure]:
    far = agent_speech(20)
    still = Place(0.3, SEEDS[0], level_dbfs=-22.0, drive=1.0, drift_ppm=0.0)
    losses = {
        delay_ms: _loss_db(far, replace(still, delay_s=delay_ms / 1000).echo(far), HZ)
        for delay_ms in (20, 60, 120, 250)
    }
    worst = min(losses, key=lambda delay_ms: losses[delay_ms])
    name = f"echo return loss after 1 s, delays of 20 to 250 ms, the worst ({worst} ms)"
    yield Figure(name, "dB", losses[worst], at_least(38))
    drifting = replace(still, drift_ppm=50.0).echo(far)
    jump = 8 * HZ
    jumped = np.concatenate((drifting[:jump], np.zeros(HZ // 25), drifting[jump:]))[: len(far)]
    loss_db = _loss_db(far, jumped, jump + HZ)
    yield Figure("the same, clocks 50 ppm apart, after a 40 ms jump", "dB", loss_db, at_least(32))


def _loss_db(far: Samples, echo: Floats, from_sample: int) -> float:
    """Of the suppressor alone, without what the canceller does about residue afterwards."""
    linear, suppressor = LinearCanceller(), Suppressor(REFERENCE_LEAD_S)
    mic = np.rint(echo + floor(len(echo), 1, -75.0)).astype(np.int16)
    whole = len(mic) // 320 * 320
    parts = []
    for at in range(0, whole, BLOCK):
        chunk, played = mic[at : at + BLOCK], far[at : at + BLOCK]
        linear.push(chunk, played)
        parts.append(suppressor.push(chunk, played, linear.strongest_partition()))
    left = np.concatenate(parts)
    before = np.square(mic[from_sample:whole].astype(np.float64)).mean()
    after = np.square(left[from_sample:whole].astype(np.float64)).mean()
    return float(10 * np.log10(before / max(after, 1e-3)))


# --- the agent alone ----------------------------------------------------------------------------


def alone_figures() -> Iterator[Figure]:
    far = agent_speech(_ALONE_S)
    for rt60_s in RT60_S:
        counts = []
        for seed in SEEDS:
            mic = Place(rt60_s, seed).echo(far) + floor(len(far), seed)
            counts.append(len(_openings(captured(mic, far, EchoCanceller()))))
        name = f"the gate opens to the agent alone in 10 min, RT60 {rt60_s:g} s, the worst of 3"
        yield Figure(name, "times", max(counts), AT_MOST(1) if rt60_s <= 0.6 else None)


def _openings(chunks: list[CapturedChunk]) -> list[int]:
    """The chunks with which speech began."""
    return [at for at, chunk in enumerate(chunks) if chunk.verdict.edge is Edge.SPEECH_STARTED]


# --- the visitor over the agent -----------------------------------------------------------------


def barge_in_figures() -> Iterator[Figure]:
    for rt60_s in RT60_S:
        latencies: list[float] = []
        missed = 0
        for seed in SEEDS:
            far, near, spans = _conversation(_BARGE_INS, seed)
            mic = Place(rt60_s, seed).echo(far) + near + floor(len(far), seed)
            opened = _openings(captured(mic, far, EchoCanceller()))
            for _, began, ended in spans:
                noticed = [at for at in opened if chunk_at(began) - 5 <= at <= chunk_at(ended)]
                if noticed:
                    latencies.append(max(0.0, (noticed[0] + 1) * CHUNK_MS - began * 1000 / HZ))
                else:
                    missed += 1
        share = 100 * len(latencies) / (len(latencies) + missed)
        where = f"barge-in at the echo's level, RT60 {rt60_s:g} s"
        yield Figure(f"{where}: noticed", "%", share, at_least(95))
        yield Figure(f"{where}: after, median", "ms", median(latencies), AT_MOST(300))


def _conversation(count: int, seed: int) -> tuple[Samples, Floats, list[tuple[str, int, int]]]:
    """The agent talks on, and every few seconds a visitor asks something: what the loudspeaker
    plays, what the visitor sounds like, and (text, first, last sample) of each question."""
    rng = np.random.default_rng(seed)
    asked = questions(_UTTERANCES)
    far = agent_speech(8 + 8 * count)
    near = np.zeros(len(far))
    spans, at = [], 6 * HZ
    for number in range(count):
        text, speech = asked[(number * 7 + seed) % len(asked)]
        near[at : at + len(speech)] += at_level(speech)
        loud = np.flatnonzero(np.abs(speech.astype(int)) > 300)
        spans.append((text, at + int(loud[0]), at + int(loud[-1])))
        at += len(speech) + int(rng.uniform(3, 4.5) * HZ)
    return far, near, spans


# --- the visitor's words under the agent's ------------------------------------------------------


def both_talk_figures() -> Iterator[Figure]:
    for ducked in (True, False):
        right = words = 0
        gains = []
        for rt60_s in RT60_S:
            far, near, spans = _conversation(_BARGE_INS, SEEDS[0])
            place = Place(rt60_s, SEEDS[0])
            heard = _sent(place, far, far, near)
            if ducked:
                opened = _openings(heard)
                heard = _sent(place, _ducked(far, opened), far, near)
            for text, began, ended in spans:
                sent = _transmitted(heard, began, ended)
                said = (_recogniser().recognise(sent).text or "").split()
                words += len(text.split())
                right += sum(word in said for word in text.split())
                gains.append(_near_gain_db(heard, near, began, ended))
        how = "while both talk" if ducked else "the same without ducking"
        bar = at_least(80) if ducked else None
        yield Figure(f"{how}: words understood, RT60 0.3-1.0 s", "%", 100 * right / words, bar)
        if ducked:
            yield Figure("while both talk: near gain, median", "dB", median(gains), at_least(-9))


def _near_gain_db(chunks: list[CapturedChunk], near: Floats, began: int, ended: int) -> float:
    """How much louder the visitor leaves than they came, by the part of what leaves that is like
    what came: the rest is echo."""
    left = np.concatenate([chunk.samples for chunk in chunks]).astype(np.float64)[began:ended]
    came = near[began : began + len(left)]
    return float(20 * np.log10(abs(left @ came) / (came @ came) + 1e-6))


def _sent(place: Place, played: Samples, undisturbed: Samples, near: Floats) -> list[CapturedChunk]:
    mic = place.echo(played, undisturbed) + near + floor(len(near), place.seed)
    return captured(mic, played, EchoCanceller())


def _ducked(far: Samples, opened: list[int]) -> Samples:
    """The loudspeaker steps back as soon as the card has played what it held."""
    ducking = Ducking()
    ons = [(at * CHUNK_MS / 1000 + _CARD_BUFFER_S) for at in opened]
    played = []
    for at in range(0, len(far), 320):
        now_s = at / HZ
        ducking.on = any(on <= now_s < on + _DUCK_S for on in ons)
        played.append(ducking.push(far[at : at + 320], HZ))
    return np.concatenate(played)


def _transmitted(chunks: list[CapturedChunk], began: int, ended: int) -> Samples:
    """What goes out around an utterance, its pre-roll included; where nothing does, silence."""
    kept = (PREROLL_MS + ONSET_GUARD_MS) // CHUNK_MS
    first = max(0, chunk_at(began) - round(_MARGIN_S * 1000 / CHUNK_MS))
    last = chunk_at(ended) + round(_MARGIN_S * 1000 / CHUNK_MS)
    passing = [chunk.verdict.passes for chunk in chunks]
    sent = []
    for at in range(first, min(last, len(chunks))):
        soon = any(passing[at : at + kept])
        sent.append(chunks[at].samples if soon else silence(320))
    return np.concatenate(sent)


# --- the guide's questions through everything ---------------------------------------------------


def understood_figures(name: str, rt60_s: float | None, snr_db: float | None) -> Iterator[Figure]:
    straight = through = 0
    canceller = EchoCanceller()
    for number, (text, speech) in enumerate(questions(_UTTERANCES)):
        came = _arriving(speech, rt60_s, snr_db, number)
        chunks = through_the_card(came, canceller)
        heard = np.concatenate(
            [c.samples if c.verdict.passes else silence(len(c.samples)) for c in chunks]
        )
        straight += _is_right(text, np.rint(came).astype(np.int16))
        through += _is_right(text, heard)
    lost = 100 * (straight - through) / _UTTERANCES
    said = f"{100 * straight / _UTTERANCES:.1f} % straight"
    yield Figure(
        f"questions lost through the chain, {name} ({said}, {_UTTERANCES})",
        "points",
        lost,
        AT_MOST(3),
    )


def _arriving(speech: Samples, rt60_s: float | None, snr_db: float | None, number: int) -> Floats:
    """At the microphone: a moment of the room, the question, and the room again."""
    loud = at_level(speech)
    if rt60_s is not None:
        loud = visitor_in(rt60_s, SEEDS[number % 3], np.rint(loud).astype(np.int16))
    sound = np.concatenate((np.zeros(HZ * 3 // 10), loud, np.zeros(HZ * 7 // 10)))
    sound += floor(len(sound), number)
    if snr_db is not None:
        sound += noise("babble", len(sound), LEVEL_DBFS - snr_db, HELD_OUT, number)
    return np.clip(sound, -32768, 32767)


def _is_right(text: str, samples: Samples) -> bool:
    said = _recogniser().recognise(samples).text
    entry = None if said is None else load_guide().entry_for(said)
    return entry is not None and entry == load_guide().entry_for(text)


@cache
def _recogniser() -> Recogniser:
    return Recogniser(load_guide().jsgf())
