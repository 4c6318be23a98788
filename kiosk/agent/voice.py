"""The local agent's voice: espeak-ng, one child process for each new sentence.

It may not play anything, nor decide what is said. The WAV is read as espeak-ng streams it.
"""

from collections import OrderedDict

from kiosk.audio.levels import trim_silence
from kiosk.audio.pcm import Samples, silence
from kiosk.audio.resample import resample
from kiosk.audio.wav import WavError, read_wav
from kiosk.base.espeak import PROGRAM, Espeak
from kiosk.errors import UnavailableError

# espeak-ng renders a minute of speech in about 0.15 s on a desktop core.
_LONGEST_RENDER_S = 10.0
# Sixteen sentences of 10 s at 48 kHz are 15 MB.
_REMEMBERED = 16


class AgentVoice:
    """Speaks text with one espeak-ng voice; for one event loop.

    `voice` is what `espeak-ng --voices` lists, with an optional variant ("en-gb-x-rp+f2").
    """

    def __init__(
        self, voice: str, words_per_minute: int = 165, *, longest_s: float = _LONGEST_RENDER_S
    ) -> None:
        self._espeak = Espeak(voice, words_per_minute, longest_s)
        self._rendered: OrderedDict[tuple[str, int], Samples] = OrderedDict()

    async def render(self, text: str, rate_hz: int) -> Samples:
        """The text as mono int16 samples, with at most 50 ms of silence on either side.

        Without a word in the text the array is empty. It may be shared with later callers and is
        read-only. Raises ConfigError for a voice espeak-ng does not know, UnavailableError when
        espeak-ng is absent, fails or takes too long.
        """
        asked = (text, rate_hz)
        if asked in self._rendered:
            self._rendered.move_to_end(asked)
            return self._rendered[asked]
        samples = self._samples(await self._espeak.speak(text), rate_hz)
        self._rendered[asked] = samples
        if len(self._rendered) > _REMEMBERED:
            self._rendered.popitem(last=False)
        return samples

    def _samples(self, wav: bytes, rate_hz: int) -> Samples:
        if not wav:  # espeak-ng had nothing to speak: the text holds no word
            return silence(0)
        try:
            spoken, spoken_hz = read_wav(wav)
        except WavError as error:
            raise UnavailableError(f"{PROGRAM} gave no WAV: {error}") from error
        # A copy: a trimmed view would keep the whole recording.
        samples = resample(trim_silence(spoken, spoken_hz), spoken_hz, rate_hz).copy()
        samples.flags.writeable = False
        return samples
