"""The local agent's ears: which sentence of a small grammar was said, or that none was.

It may not decide what to answer. pocketsphinx, an extra, is imported only when a recogniser is
built; nothing is downloaded, the acoustic model is inside its package.

A grammar search forces whatever it hears onto a legal sentence. So the same sound is also heard
as a free sequence of phones, and the sentence counts only if it explains the sound nearly as well.
"""

import os
import queue
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kiosk.agent.pronouncing import phones_of
from kiosk.audio.pcm import INTERNAL_RATE_HZ, Samples, ms_to_samples, to_int16
from kiosk.errors import ConfigError, UnavailableError

_FloatSamples = npt.NDArray[np.float64]

# The cost of a sentence, in nats for each frame of speech: what the free phones gain on it in all,
# plus half of what they gain on its worst word, as one foreign word hides in a long sentence.
# Measured on 348 sentences of the museum guide, 144 ordinary English ones, 36 made to resemble
# the guide's ("who built the pyramids") and 72 noises, in six espeak-ng voices; the tests use
# other voices, and other ordinary sentences. No question was taken for another one.
#
#     limit   answered of 348   ordinary of 144   resembling of 36   noises of 72
#     5.0          329                 1                  2                0
#     5.25         335                 1                  2                0
#     5.5          338                 3                  6                0
#     6.0          342                 4                 11                2 (babble)
#
# Nine in ten of the guide's cost less than 4.5, nine in ten of the ordinary ones more than 7.5.
# Recorded people cost less than synthetic voices: -0.9 to 0.9 for the eight that the tests use.
_WORST_WORD = 0.5
# By so much a word of fewer phones that asks for nothing must explain the sound better than any
# sentence: "hello" is taken for "oh" at 0.4 and "oh" for "hello" at -2.9, where they are confused.
_VOWEL_COST, _FEW_PHONES = 1.5, 3
_COST_LIMIT = 5.25
# Free phones pass in 11.5 frames of 10 ms at the slowest in the guide's shortest sentences; in a
# cough or a bang, which a short word explains as well as they do, in 14 at the fastest, and in a
# steady hiss in 27.
_SLOWEST_PHONE_FRAMES = 13.0
# Of a sentence's phones the free phones hear so many at the fewest; of those of "thanks" in a bang
# that is taken for it three or four of five.
_PHONES_HEARD = 0.85

# Of the first 0.35 s of an utterance free phones hear five or more, of a hiss none. "Uh-huh", "oh"
# and "wow" cost 4.4 at the most as words that ask for nothing, questions 4.9 at the least.
_FEWEST_PHONES = 3
_BEGINNING_LIMIT = 4.5

_SHORTEST_MS = 200
_LONGEST_MS = 15_000  # no question of a small grammar is so long
_QUIETEST_DBFS = -60.0
_LEVEL_DBFS = -20.0  # what every utterance is brought to
_SPEECH_RANGE_DB = 20.0  # of the loudest 20 ms: what counts as speech for the level
_EDGE_RANGE_DB = 40.0  # below the loudest 20 ms: silence, cut down to _EDGE_MS
_EDGE_MS = 250  # the model wants silence around a sentence, and a steady share of it in the mean
_DITHER = 3.0  # -81 dBFS; exact zeros have no logarithm, and resemble no sound
# A recording of half the bandwidth resembles no sound either: what has less than this share of its
# power above 4 kHz gets more. Of 80 questions in four voices 65 of half the bandwidth are answered
# so, and 33 without.
_WIDE_FROM_HZ = 4200.0
_NARROW_SHARE_DB = -35.0  # speech of the whole bandwidth: -30 at the least
_NARROW_DITHER = 120.0

_END = "endofsentence"  # spoken as silence: only a complete sentence reaches it
_NOT_WORDS = frozenset(("<sil>", "<s>", "</s>", "[NOISE]", "[SPEECH]", _END))
_NOT_PHONES = frozenset(("SIL", "+NSN+", "+SPN+"))
# pocketsphinx keeps a path's score in 1024ths.
_SCORE_UNIT = 1024.0


@dataclass(frozen=True, slots=True)
class Recognised:
    """What one utterance was; `text` None means not sure enough: ask again.

    `ignored`: it is one of the words that ask for nothing. `confidence` is from 0 to 1, at 0.5 the
    sentence is just believed. Not a probability.
    """

    text: str | None
    confidence: float
    ignored: bool = False


_NOTHING = Recognised(None, 0.0)


@dataclass(frozen=True, slots=True)
class _Segment:
    name: str
    first: int
    last: int  # frame, inclusive
    score: float  # natural logarithm, acoustic


@dataclass(frozen=True, slots=True)
class _Path:
    text: str
    score: float  # natural logarithm, with transitions
    segments: tuple[_Segment, ...]


class Recogniser:
    """Recognises one grammar. About 60 MB in use; it loads in a quarter of a second.

    `jsgf` is a JSGF grammar with one public rule, of lower-case English words; `ignored` are words
    that ask for nothing, known so that they are taken for nothing else. Raises ConfigError for a
    grammar that cannot be used or a word that cannot be said, UnavailableError without
    pocketsphinx. A word that is not in its dictionary is heard as espeak-ng says it (it must be
    installed then); `guessed` has its phones. An instance may be shared between threads: they take
    turns.
    """

    def __init__(self, jsgf: str, ignored: Collection[str] = ()) -> None:
        decoder = _load_decoder()
        self.guessed: dict[str, str] = {}
        decoder.add_word(_END, "SIL", True)
        self._searches = ["sentences"]
        self._add_grammar(decoder, "sentences", jsgf)
        if ignored:
            self._searches.append("ignored")
            self._add_grammar(decoder, "ignored", _grammar_of(ignored))
        decoder.add_allphone_file("phones", None)
        # Whoever recognises takes the decoder out: the next thread waits until it is back.
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._idle.put(decoder)

    def _add_grammar(self, decoder: Any, name: str, jsgf: str) -> None:
        self.guessed |= _add_unknown_words(jsgf, decoder)
        try:
            decoder.add_jsgf_string(name, _with_end_mark(jsgf))
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"the grammar is not valid JSGF: {error}") from error

    def recognise(self, samples: Samples) -> Recognised:
        """Recognise one utterance, mono int16 at 16 kHz; silence around it is welcome, not needed.

        Blocks for about an eighth of the utterance's length on a desktop core: call it in a worker
        thread. The level does not matter between -60 dBFS and full scale.
        """
        prepared = _prepare(samples)
        if prepared is None:
            return _NOTHING
        decoder = self._idle.get()
        try:
            found = {name: _search(decoder, name, prepared) for name in self._searches}
            phones = _search(decoder, "phones", prepared)
            lengths = {name: _phones_of(path, decoder) for name, path in found.items()}
        finally:
            self._idle.put(decoder)
        best, text = np.inf, None
        for name, sentence in found.items():
            if sentence is None or phones is None or not sentence.text.endswith(_END):
                continue
            cost = _cost(sentence, phones, lengths[name])
            # A vowel alone is a part of many sentences, and must be far more likely than one.
            is_vowel = name == "ignored" and lengths[name] < _FEW_PHONES
            if cost < best - (_VOWEL_COST if is_vowel else 0.0):
                best, text, is_ignored = cost, sentence.text, name == "ignored"
        confidence = float(1 / (1 + np.exp(min(best - _COST_LIMIT, 100.0))))
        if text is None or best > _COST_LIMIT:
            return Recognised(None, confidence)
        return Recognised(text.removesuffix(_END).strip(), confidence, is_ignored)

    def asks_for_nothing(self, samples: Samples) -> bool:
        """Whether the beginning of an utterance sounds like a noise, or like one of the words that
        ask for nothing. Blocks for about a sixth of a second on a desktop core."""
        prepared = _prepare(samples)
        if prepared is None:
            return True
        decoder = self._idle.get()
        try:
            phones = _search(decoder, "phones", prepared)
            word = _search(decoder, "ignored", prepared) if "ignored" in self._searches else None
        finally:
            self._idle.put(decoder)
        if phones is None or _passed(phones) < _FEWEST_PHONES:
            return True
        return word is not None and _gain(word, phones) < _BEGINNING_LIMIT


def _search(decoder: Any, name: str, samples: Samples) -> _Path | None:
    """The best path of one of the decoder's searches; None if no path reaches the end."""
    decoder.activate_search(name)
    # The front end keeps its noise estimate of the utterance before, and would hear this one a
    # little differently for it; starting afresh takes 0.1 ms.
    decoder.reinit_feat()
    decoder.start_utt()
    # As one piece: the spectral mean is then the utterance's own.
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()
    best = decoder.hyp()
    if best is None:
        return None
    segments = (
        _Segment(part.word, part.start_frame, part.end_frame, _nats(part.ascore))
        for part in decoder.seg() or ()
        if part.word != "(NULL)"  # a transition of the grammar, on its neighbour's frame
    )
    return _Path(best.hypstr, _nats(best.score), tuple(segments))


def _nats(likelihood: float) -> float:
    return float(np.log(max(likelihood, 1e-300))) * _SCORE_UNIT


def _phones_of(sentence: _Path | None, decoder: Any) -> int:
    """How many phones the sentence has in the dictionary."""
    words = () if sentence is None else filter(_is_word, sentence.segments)
    return sum(len((decoder.lookup_word(word.name) or "").split()) for word in words)


def _cost(sentence: _Path, phones: _Path, length: int) -> float:
    """How much better free phones explain the sound than the sentence; see _COST_LIMIT."""
    gain = _frame_scores(phones) - _frame_scores(sentence)
    words = [gain[part.first : part.last + 1] for part in sentence.segments if _is_word(part)]
    frames = sum(len(word) for word in words)
    passed = _passed(phones)
    if not frames or frames > passed * _SLOWEST_PHONE_FRAMES or passed < length * _PHONES_HEARD:
        return np.inf
    worst = max(float(word.mean()) for word in words if len(word))
    return (phones.score - sentence.score) / frames + _WORST_WORD * worst


def _passed(phones: _Path) -> int:
    """How many phones the free phones hear."""
    return sum(part.name not in _NOT_PHONES for part in phones.segments)


def _gain(word: _Path, phones: _Path) -> float:
    """What the free phones gain on a word, in nats for each frame of it."""
    frames = sum(part.last + 1 - part.first for part in word.segments if _is_word(part))
    return (phones.score - word.score) / frames if frames else np.inf


def _is_word(segment: _Segment) -> bool:
    return segment.name not in _NOT_WORDS


def _frame_scores(path: _Path) -> _FloatSamples:
    """The path's acoustic score for each frame, each segment's spread evenly over its frames."""
    scores = np.zeros(path.segments[-1].last + 1)
    for part in path.segments:
        scores[part.first : part.last + 1] = part.score / (part.last + 1 - part.first)
    return scores


def _prepare(samples: Samples) -> Samples | None:
    """The utterance at the usual level with the usual silence around; None if it cannot be one."""
    size = ms_to_samples(20, INTERNAL_RATE_HZ)
    count = len(samples) // size
    if not _SHORTEST_MS <= count * 20 <= _LONGEST_MS:
        return None
    wide = samples.astype(np.float64)
    wide -= wide.mean()
    power = np.square(wide[: count * size]).reshape(count, size).mean(axis=1)
    loudest = float(power.max())
    speech = power[power >= loudest * 10 ** (-_SPEECH_RANGE_DB / 10)]
    level = float(np.sqrt(speech.mean())) / 32768
    if level < 10 ** (_QUIETEST_DBFS / 20):
        return None
    audible = np.flatnonzero(power >= loudest * 10 ** (-_EDGE_RANGE_DB / 10))
    edge = ms_to_samples(_EDGE_MS, INTERNAL_RATE_HZ)
    first, last = int(audible[0]) * size, int(audible[-1] + 1) * size
    kept = wide[max(0, first - edge) : last + edge] * (10 ** (_LEVEL_DBFS / 20) / level)
    lead, tail = max(0, edge - first), max(0, last + edge - len(wide))
    padded = np.pad(kept, (lead, tail))
    # Seeded, so that the same recording is heard the same way.
    dither = _NARROW_DITHER if _is_narrow(padded) else _DITHER
    return to_int16(padded + np.random.default_rng(0).standard_normal(len(padded)) * dither)


def _is_narrow(samples: _FloatSamples) -> bool:
    """Whether a recording has half the bandwidth only."""
    power = np.square(np.abs(np.fft.rfft(samples)))
    is_high = np.fft.rfftfreq(len(samples), 1 / INTERNAL_RATE_HZ) > _WIDE_FROM_HZ
    return bool(power[is_high].sum() < power.sum() * 10 ** (_NARROW_SHARE_DB / 10))


def _grammar_of(words: Collection[str]) -> str:
    return f"#JSGF V1.0;\ngrammar words;\npublic <word> = {' | '.join(words)};\n"


def _with_end_mark(jsgf: str) -> str:
    marked, found = re.subn(
        r"\bpublic\s*<([^>]+)>\s*=",
        rf"public <wholesentence> = <\1> {_END};\n<\1> =",
        jsgf,
        count=1,
    )
    if not found:
        raise ConfigError("the grammar has no public rule")
    return marked


def _add_unknown_words(jsgf: str, decoder: Any) -> dict[str, str]:
    """Those that were not in the dictionary, with the phones by which they are now."""
    guessed: dict[str, str] = {}
    unknown: dict[str, list[str]] = {}
    for rule, word in _words(jsgf):
        if decoder.lookup_word(word) is not None or repr(word) in unknown.get(rule, ()):
            continue
        if (phones := phones_of(word)) is None:
            unknown.setdefault(rule, []).append(repr(word))
        else:
            decoder.add_word(word, phones, True)
            guessed[word] = phones
    if unknown:
        raise ConfigError("\n".join(_unknown(rule, words) for rule, words in unknown.items()))
    return guessed


def _unknown(rule: str, words: list[str]) -> str:
    several = len(words) > 1
    which = f"the words {', '.join(words)} are" if several else f"the word {words[0]} is"
    others = "others" if several else "another one"
    return f"{rule}: {which} nothing that can be said in English: use {others}"


def _words(jsgf: str) -> Iterator[tuple[str, str]]:
    """Every word of the grammar with the rule it stands in; header, tags and weights left out."""
    body = re.sub(r"//[^\n]*|/\*.*?\*/|/[\d.]+/|\{[^}]*\}|^#JSGF[^;]*;", " ", jsgf, flags=re.DOTALL)
    for statement in body.split(";"):
        head, is_rule, expansion = statement.partition("=")
        if not is_rule:
            continue
        name = re.search(r"<([^>]+)>", head)
        for word in re.findall(r"[^\s()\[\]|*+\"]+", re.sub(r"<[^>]*>", " ", expansion)):
            yield (name.group(1) if name else "the grammar"), word


def _load_decoder() -> Any:
    try:
        import pocketsphinx
    except ImportError as error:
        raise UnavailableError(
            "speech recognition needs pocketsphinx: pip install 'voice-kiosk[agent]'"
        ) from error
    return pocketsphinx.Decoder(
        loglevel="FATAL",
        logfn=os.devnull,
        hmm=pocketsphinx.get_model_path("en-us/en-us"),
        dict=pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"),
        lm=None,
        # Scores are relative to the best senone: of all of them, or searches do not compare.
        compallsen=True,
        # The default beams lose one sentence in fifty; these take a tenth longer.
        beam=1e-80,
        pbeam=1e-80,
        wbeam=1e-60,
        # The lattice would change no sentence here, and takes up to 4 s when the sentence is none.
        bestpath=False,
    )
