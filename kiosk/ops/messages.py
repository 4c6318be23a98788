"""The kiosk's journal messages: one table, from which the journal catalog is made. Pure data.

`journalctl MESSAGE_ID=...` finds every occurrence; `journalctl --catalog` explains it and says what
to do. The ids are random and never change. What goes wrong beside the visits is in `kiosk.causes`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kiosk.causes import CAUSES, NOTHING, NOTICE, UNFIT, Meaning
from kiosk.endings import RULES, Kind


@dataclass(frozen=True, slots=True)
class JournalMessage:
    """One kind of entry. `text` is a format over the event's fields; `priority` is syslog's.

    `causes`: what its KIOSK_CAUSE may be; none: it tells of no fault. `lasts`: such a fault is over
    when an entry's KIOSK_OVER names it, or the kiosk starts anew.
    """

    id: str
    priority: int
    text: str
    subject: str
    explanation: str
    remedy: str = NOTHING
    causes: tuple[str, ...] = ()
    lasts: bool = False


_FAILED = tuple(kind.value for kind in Kind if CAUSES[kind].severity < NOTICE)
_TRIED_AGAIN = tuple(kind.value for kind, rule in RULES.items() if rule.retries)


def _remedies() -> str:
    """What mends the endings of visits."""
    kinds: dict[str, list[str]] = {}
    for kind in _FAILED:
        kinds.setdefault(CAUSES[kind].remedy, []).append(kind)
    otherwise = max(kinds, key=lambda remedy: len(kinds[remedy]))
    known = "".join(f"{', '.join(of)}: {do}. " for do, of in kinds.items() if do != otherwise)
    return f"For most causes the text says what the service refused. {known}Others: {otherwise}."


def _remedies_of(causes: tuple[str, ...]) -> str:
    return " ".join(f"{cause}: {CAUSES[cause].remedy}." for cause in causes)


MESSAGES: dict[str, JournalMessage] = {
    "starting": JournalMessage(
        "38a423a9d1574ac7afe9ed7c4ac2ed8d",
        6,
        "starting {version}",
        "The kiosk starts",
        "What an earlier life of the kiosk's could not do is forgotten; what is still so is told "
        "again.",
    ),
    "ready": JournalMessage(
        "d4c74cec919340bea0acede4b58f2e94",
        6,
        "ready",
        "The kiosk is ready",
        "A press of the button is answered from now on, if only by an apology.",
    ),
    "stopping": JournalMessage(
        "f6f28947c0e34f889b6d0ab54a66e654",
        6,
        "stopping",
        "The kiosk is stopping",
        "It was asked to; a visit under way is closed properly.",
    ),
    "alive": JournalMessage(
        "46cfb896a2af4ecbb188504e41cad5c9",
        6,
        "alive: {fitness}, {visits} visits",
        "The kiosk is alive",
        "Told every journal.alive_s. KIOSK_FITNESS is `fit`, or why no visit can be held; the "
        "counters are those since the kiosk was started.",
    ),
    "reloaded": JournalMessage(
        "c0d47cc565ef4fd1a1e611fcd8afa8af",
        5,
        "settings read again; taken: {taken}; restart for: {restart}",
        "The settings were read again",
        "KIOSK_TAKEN holds from the next visit on.",
        "What KIOSK_RESTART names changes only with `systemctl restart kiosk`.",
    ),
    "pressed": JournalMessage(
        "296e597350b24bed85a987808023259f",
        6,
        "button pressed",
        "The button was pressed",
        "By a visitor, or by an operator with `kiosk press`.",
    ),
    "visit_started": JournalMessage(
        "a807d803a54e4c2e884b1a3e76fae2e0",
        5,
        "visit started",
        "A visit started",
        "PRESS_ID is also the X-Request-Id of the backend's log.",
    ),
    "connected": JournalMessage(
        "9185aea2a9f6474a8c44efd47ca0c507",
        6,
        "connected, {input_format} up, {output_format} down",
        "A conversation is connected",
        "CONVERSATION_ID is the provider's; its dashboard shows the conversation under it.",
    ),
    "queued": JournalMessage(
        "c0fc06dd2c264866aad34a0d84013929",
        5,
        "waiting in the agent's queue",
        "A visitor waits for a free conversation",
        "Too many conversations at once.",
        "Nothing, if it happens seldom. Otherwise the provider's plan is too small.",
    ),
    "admitted": JournalMessage(
        "15807128e98f45e4b71350603a34d07f",
        6,
        "admitted from the queue",
        "The visitor's wait is over",
        "The conversation goes on.",
    ),
    "lost": JournalMessage(
        "7499b719e19d4a81a672d09bdc8abbab",
        4,
        "conversation lost ({kind} {code} {detail}), trying again in {delay_ms} ms",
        "A conversation was lost and is tried again",
        "KIOSK_CAUSE tells why. The visitor hears that it goes on.",
        "If this happens often check the network: `kiosk status` on the kiosk, then the backend.",
        _TRIED_AGAIN,
    ),
    "visit_ended": JournalMessage(
        "ea9251d0beea4934a7e7aeb62c408c09",
        5,
        "visit ended: {kind} {code} {detail}",
        "A visit ended",
        "The record of the visit. KIOSK_KIND tells why it ended, the priority how grave that is; "
        "KIOSK_CAUSE is there only if it should not have ended so. Times in KIOSK_..._MS count "
        "from the press, those of answers from the end of what the visitor said. KIOSK_VERDICT is "
        "good, spoilt or lost, and KIOSK_SPOILT_BY what made it so: `kiosk why` says it in a "
        "sentence.",
        _remedies(),
        _FAILED,
        lasts=True,
    ),
    "interrupted": JournalMessage(
        "25bd6b1cc13f420a82ff5025c85734bf",
        7,
        "interrupted",
        "The visitor spoke over the agent",
        "What the agent still had to say was dropped.",
    ),
    "malformed": JournalMessage(
        "e5f4e06b64c14e3daf255360275b2429",
        4,
        "a frame from the server makes no sense: {why}",
        "The server sent a frame that is not a message",
        "It was ignored. Its content is not logged.",
        CAUSES["malformed_frame"].remedy,
        ("malformed_frame",),
    ),
    "link": JournalMessage(
        "12859f2caa724abdabc5a7c5a5544870",
        6,
        "the connection's round trip took {round_trip_ms} ms, {resent_segments} of "
        "{sent_segments} segments were sent again",
        "A conversation's connection was measured",
        "By the system (TCP_INFO), at the conversation's end. Behind a proxy it is the connection "
        "to the proxy.",
    ),
    "room": JournalMessage(
        "d3553119b7c745de833cb12ea29c2aae",
        6,
        "the room's round trip took {round_trip_ms} ms by {way}; {lost_packets} of {sent_packets} "
        "packets to the agent and {missed_packets} of {received_packets} from it were lost",
        "A conversation's room was measured",
        "By WebRTC's library, over the conversation. {concealed_ms} ms of the agent's sound were "
        "made up in place of what was lost.",
    ),
    "gap": JournalMessage(
        "d4f7a33c513042baa9548f0f0f8d2447",
        7,
        "the agent's sound had a gap of {gap_ms} ms",
        "The agent's sound had a gap",
        "The loudspeaker had run out of it in the middle of a turn.",
    ),
    "stalled": JournalMessage(
        "b83ab00f1c8841d78a5af68d4e886aaf",
        4,
        "the microphone's sound waited {stall_ms} ms for the kiosk",
        "The kiosk was held up",
        "KIOSK_STALL_MS tells for how long.",
        CAUSES["loop_stalled"].remedy,
        ("loop_stalled",),
    ),
    "agent_tool": JournalMessage(
        "771f3327cb3b46bd904c009d71f66584",
        6,
        "the agent used {tool}",
        "The agent used a tool of its own",
        "KIOSK_FAILED is 1 if the tool failed.",
        "If it fails, the provider's dashboard shows the call under CONVERSATION_ID.",
    ),
    "tool_called": JournalMessage(
        "868b6502482f48cf9ef149a5e23884d2",
        6,
        "the agent called {tool} {error_type}",
        "The agent called a tool of the kiosk",
        "KIOSK_ERROR_TYPE is there if the tool failed.",
        "If it fails, correct the tool's name and arguments in the agent.",
    ),
    "guardrail": JournalMessage(
        "8bd62e41a05d4f06afd303468b9191b2",
        5,
        "guardrail {rule}",
        "A safety rule of the agent fired",
        "The provider's dashboard shows the conversation under CONVERSATION_ID.",
    ),
    "overloaded": JournalMessage(
        "977edf9d2f62444b86809065a06b1945",
        4,
        "processing the sound takes {percent} % of real time: {consequence}",
        "This machine is too slow for echo cancellation",
        'With echo.mode = "auto" visitors can no longer interrupt the agent by voice.',
        CAUSES["overloaded"].remedy,
        ("overloaded",),
    ),
    "device_opened": JournalMessage(
        "d86dda08f5c24ef09149ce7e6b620e49",
        5,
        "{device} opened: {detail}",
        "A sound device was opened",
        "The device can be used.",
    ),
    "device_lost": JournalMessage(
        "a7d5f5e005d341979a5081cc9e67ed4e",
        3,
        "{device} lost: {detail}",
        "A sound device is missing, or hears nothing",
        "It is tried again every second, and a microphone that hears nothing every ten; until it "
        "is back no visit is held.",
        "Plug it in again, or do what the text says. `kiosk devices` lists what the machine has, "
        "each with its line for the settings.",
        ("microphone_lost", "microphone_silent", "microphone_muted", "speaker_lost"),
        lasts=True,
    ),
    "button_fault": JournalMessage(
        "73a90283f66f443785ca9cb5a53d9fd8",
        3,
        "{detail}",
        "A button cannot be used",
        "It changes faster than any finger, and is not listened to until it rests; or it has been "
        "down for two minutes. Visits begin by what else there is for it.",
        "Free the button, and look at its wires: near the mains they want a screen, or a resistor "
        "of 1 kilohm to 3.3 V at the header. `kiosk status` counts presses and bounces.",
        ("button_stuck", "button_flutters"),
        lasts=True,
    ),
    "button_mended": JournalMessage(
        "2803f01a29024b53b501e33b02b0e664",
        5,
        "{detail}",
        "A button can be used again",
        "It came up, or its line rests.",
    ),
    "fitness": JournalMessage(
        "e7ab346138724de296414282c563e998",
        5,
        "fitness: {fitness}",
        "Whether a visit can be held changed",
        "KIOSK_FITNESS `fit` means it can; otherwise a press is answered with an apology that "
        "names the cause. `paused` is what the backend said last: a press asks it again.",
        _remedies_of(tuple(UNFIT)),
        tuple(UNFIT),
        lasts=True,
    ),
    "state": JournalMessage(
        "88639633ebb949b99c10f65800057517",
        7,
        "state {state}",
        "The visit's state changed",
        "KIOSK_STATE is the new state.",
    ),
}


def entries() -> Iterator[tuple[str, JournalMessage | Meaning]]:
    """Every kind of entry by its name, KIOSK_EVENT: messages, and causes logged by themselves."""
    yield from MESSAGES.items()
    yield from ((name, meaning) for name, meaning in CAUSES.items() if meaning.id)


def catalog() -> str:
    """The journal catalog's text (`systemd/kiosk.catalog`): what it means, then what to do."""
    texts = [
        f"-- {entry.id}\nSubject: {entry.subject}\nDefined-By: voice-kiosk\n\n"
        f"{entry.explanation}\n\n{entry.remedy}\n"
        for _, entry in entries()
    ]
    return "\n".join(texts)
