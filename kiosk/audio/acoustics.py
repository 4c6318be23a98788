"""Acoustics of a room: the path from a loudspeaker to a microphone. Pure: no I/O, no clock.

A shoebox room by the image-source method (Allen and Berkley, 1979): every reflection of the walls
is a mirrored loudspeaker. Enough to test an echo canceller where no room is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Point = tuple[float, float, float]

SPEED_OF_SOUND_M_S = 343.0
# Mirrored sources stand a few centimetres off: exact mirrors would ring in unison in such a
# perfect box, which no room does.
_SCATTER_M = 0.08


@dataclass(frozen=True, slots=True)
class Shoebox:
    """A room with its two devices, in metres; `rt60_s` is its reverberation time."""

    size_m: Point
    loudspeaker_m: Point
    microphone_m: Point
    rt60_s: float


def kiosk_in(rt60_s: float, seed: int) -> Shoebox:
    """A hall of about 8 x 6 x 3 m, and a kiosk in it: microphone and speaker 25 to 45 cm apart."""
    rng = np.random.default_rng(seed)
    size = np.array([8.0, 6.0, 3.0]) * rng.uniform(0.85, 1.15, 3)
    loudspeaker = np.array([size[0] * rng.uniform(0.2, 0.8), size[1] * rng.uniform(0.1, 0.3), 1.1])
    way = rng.normal(0, 1, 3)
    microphone = loudspeaker + way / np.linalg.norm(way) * rng.uniform(0.25, 0.45)
    return Shoebox(_point(size), _point(loudspeaker), _point(microphone), rt60_s)


def impulse_response(room: Shoebox, rate_hz: int, seed: int = 0) -> Floats:
    """The room's answer to one sample, from the direct sound on; its energy is 1.

    (n,) float32 at `rate_hz`; n spans the reverberation time.
    """
    size, source, receiver = (
        np.array(point) for point in (room.size_m, room.loudspeaker_m, room.microphone_m)
    )
    reflection = _wall_reflection(size, room.rt60_s)
    count = round(room.rt60_s * rate_hz)
    direct_m = float(np.linalg.norm(source - receiver))
    reach_m = direct_m + count / rate_hz * SPEED_OF_SOUND_M_S
    rng = np.random.default_rng(seed)
    response = np.zeros(count, dtype=np.float64)
    axes = [_images(size[axis], source[axis], receiver[axis], reach_m) for axis in range(3)]
    (x_m, x_bounces), (y_m, y_bounces), (z_m, z_bounces) = axes
    yz_square = y_m[:, None] ** 2 + z_m[None, :] ** 2
    yz_bounces = y_bounces[:, None] + z_bounces[None, :]
    for offset_m, bounces in zip(x_m, x_bounces, strict=True):
        near = yz_square < reach_m**2 - offset_m**2
        distance_m = np.sqrt(offset_m**2 + yz_square[near])
        total = bounces + yz_bounces[near]
        distance_m = distance_m + np.where(total > 0, rng.normal(0, _SCATTER_M, len(total)), 0)
        delay = np.rint((distance_m - direct_m) / SPEED_OF_SOUND_M_S * rate_hz).astype(np.int64)
        kept = (delay >= 0) & (delay < count)
        strength = reflection ** total[kept] / np.maximum(distance_m[kept], 0.1)
        np.add.at(response, delay[kept], strength)
    # Pressure does not add up without end: what is constant is no sound.
    response -= np.convolve(response, np.ones(rate_hz // 100) / (rate_hz // 100), mode="same")
    normalised: Floats = (response / np.linalg.norm(response)).astype(np.float32)
    return normalised


class EchoPath:
    """Streams sound through an impulse response, piece by piece."""

    def __init__(self, response: Floats) -> None:
        self._response = response
        self._spectra: dict[int, npt.NDArray[np.complexfloating]] = {}

    @property
    def memory(self) -> int:
        """How many earlier samples still sound."""
        return len(self._response) - 1

    def through(self, samples: Floats) -> Floats:
        """(memory + n,) samples, of which the last n are new, to the (n,) that then arrive."""
        size = 1 << (len(samples) - 1).bit_length()
        if size not in self._spectra:
            self._spectra[size] = np.fft.rfft(self._response, size)
        # What wraps round falls on the first `memory` samples, which nobody asked for.
        arrived = np.fft.irfft(np.fft.rfft(samples, size) * self._spectra[size], size)
        heard: Floats = arrived[self.memory : len(samples)].astype(np.float32)
        return heard


def loudspeaker_distortion(samples: Floats, drive: float = 1.0) -> Floats:
    """A small loudspeaker at its limits: `drive` 0 is linear, 1 takes 2.4 dB off a full-scale peak.

    On the int16 scale, like what it returns.
    """
    if drive <= 0:
        return samples
    distorted: Floats = np.tanh(samples * (drive / 32768)) * np.float32(32768 / drive)
    return distorted


def _images(
    size_m: float, source_m: float, receiver_m: float, reach_m: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Along one axis: each mirrored source's offset from the receiver, and its wall bounces."""
    order = np.arange(-int(reach_m // (2 * size_m)) - 1, int(reach_m // (2 * size_m)) + 2)
    straight = 2 * order * size_m + source_m - receiver_m
    mirrored = 2 * order * size_m - source_m - receiver_m
    offsets = np.concatenate((straight, mirrored))
    bounces = np.concatenate((np.abs(2 * order), np.abs(2 * order - 1)))
    return offsets, bounces


def _wall_reflection(size: npt.NDArray[np.float64], rt60_s: float) -> float:
    """What every wall sends back, as a pressure ratio, by Eyring's formula."""
    volume = float(np.prod(size))
    surface = 2 * float(size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    absorbed = 1 - np.exp(-0.161 * volume / (surface * rt60_s))
    return float(np.sqrt(1 - absorbed))


def _point(values: npt.NDArray[np.float64]) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))
