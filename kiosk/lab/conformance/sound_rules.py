"""The rules about sound: the microphone's stream, and what comes back through it. Pure: no I/O."""

from kiosk.lab.conformance.figures import LISTEN_S, LONG_GAP_S, TONE_HZ
from kiosk.lab.conformance.record import ConnectionRecord
from kiosk.lab.conformance.verdicts import (
    ClientRule,
    Judgement,
    failed,
    passed,
    unseen,
    warned,
    within,
)

# A stream so long says how fast it is.
_STREAM_S = 2.0
_START_S = 2.0
_LATE_START_S = 5.0
# How long a listener may go without sound, and how long he may wait for what he was sent ahead.
_WITHOUT_S = 1.0
_WAIT_S = 1.0
_TAIL_S = 1.0
_LONG_TAIL_S = 5.0
_CHUNK_MS = (20, 100)
# Less than this is a noise that resembles it.
_TONE_HEARD_MS = 300

_TEXT_ONLY = unseen("a conversation in text only")
_NO_STREAM = unseen(f"not {_STREAM_S:g} s of stream to measure")


def _starts(record: ConnectionRecord) -> Judgement:
    uplink = record.uplink
    if record.text_only:
        return _TEXT_ONLY
    if record.metadata_s is None:
        return unseen("no conversation")
    if uplink.chunks:
        after_s = max(0.0, uplink.first_s - record.metadata_s)
        return within(
            after_s, _START_S, _LATE_START_S, f"{after_s * 1000:.0f} ms after the metadata"
        )
    waited_s = record.closed_s - record.metadata_s
    if waited_s < _LATE_START_S:
        return unseen(f"nothing in {waited_s:.1f} s")
    return failed(f"nothing in {waited_s:.1f} s")


def _too_short(record: ConnectionRecord) -> Judgement | None:
    if record.text_only:
        return _TEXT_ONLY
    return _NO_STREAM if record.uplink.elapsed_s < _STREAM_S else None


def _format(record: ConnectionRecord) -> Judgement:
    if (nothing := _too_short(record)) is not None:
        return nothing
    uplink = record.uplink
    announced, likely = uplink.announced, uplink.likely_format()
    share = f"{uplink.bytes_per_s:.0f} B/s, {uplink.ratio(announced):.2f} of {announced.name}'s"
    if likely == announced:
        return passed(share)
    if likely is None:  # then it is the pace that is wrong, at least
        return unseen(f"{share}, which fits no format: see uplink_pacing")
    return failed(f"{share}: it fits {likely.name}, which was not announced")


def _pacing(record: ConnectionRecord) -> Judgement:
    if (nothing := _too_short(record)) is not None:
        return nothing
    uplink = record.uplink
    format_ = uplink.likely_format() or uplink.announced
    ratio = uplink.ratio(format_)
    measured = f"{ratio:.2f} s of sound a second in {uplink.elapsed_s:.1f} s, as {format_.name}"
    return passed(measured) if 0.9 <= ratio <= 1.1 else failed(measured)


def _gaps(record: ConnectionRecord) -> Judgement:
    if (nothing := _too_short(record)) is not None:
        return nothing
    uplink = record.uplink
    without_s = uplink.without_s(uplink.likely_format() or uplink.announced)
    tail_s = record.closed_s - uplink.last_s
    longest_ms, without_ms = uplink.longest_gap_s * 1000, without_s * 1000
    measured = f"longest {longest_ms:.0f} ms, {without_ms:.0f} ms without sound"
    if tail_s > _TAIL_S:
        measured += f", nothing in the last {tail_s:.1f} s"
    if without_s > _WITHOUT_S or tail_s > _LONG_TAIL_S:
        return failed(measured)
    # A gap does no harm after as much sound ahead of time; where gaps are the rule, all is late.
    batched = uplink.long_gaps > max(1.0, uplink.elapsed_s / 2)
    late = without_s > LONG_GAP_S or uplink.longest_gap_s > _WAIT_S or tail_s > _TAIL_S
    return warned(measured) if batched or late else passed(measured)


def _chunks(record: ConnectionRecord) -> Judgement:
    if (nothing := _too_short(record)) is not None:
        return nothing
    uplink = record.uplink
    format_ = uplink.likely_format() or uplink.announced
    mean_ms = uplink.mean_chunk_ms(format_)
    measured = f"{mean_ms:.1f} ms on average of {uplink.chunks}, as {format_.name}"
    shortest, longest = _CHUNK_MS
    return passed(measured) if shortest <= round(mean_ms) <= longest else warned(measured)


def _stale(record: ConnectionRecord) -> Judgement:
    tone = record.tone
    if tone.heard_ms >= _TONE_HEARD_MS:
        return failed(
            f"its tone came back through the microphone: {tone.heard_ms} ms of {TONE_HZ:.0f} Hz "
            f"at {tone.level_dbfs:.0f} dBFS"
        )
    if record.text_only:
        return _TEXT_ONLY
    if tone.listened_s < LISTEN_S / 2:
        return unseen("not played to its end")
    return unseen(
        f"nothing of its tone came back in {tone.listened_s:.1f} s: so it is where it is dropped, "
        "or where the microphone does not hear the loudspeaker"
    )


SOUND_RULES = (
    ClientRule("audio_starts", "client messages: user_audio_chunk", _starts),
    ClientRule("uplink_format", "events: conversation_initiation_metadata", _format),
    ClientRule("uplink_pacing", "audio: pacing", _pacing),
    ClientRule("uplink_gaps", "audio: pacing", _gaps),
    ClientRule("chunk_length", "audio: chunk length", _chunks),
    ClientRule("stale_audio", "interruption semantics", _stale),
)
