"""The kiosk's journal messages: one table, from which the journal catalog is made. Pure data.

`journalctl MESSAGE_ID=...` finds every occurrence; `journalctl --catalog` explains it. The ids are
random and never change.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of entry. `text` is a format over the event's fields; `priority` is syslog's."""

    id: str
    priority: int
    text: str
    subject: str
    explanation: str


MESSAGES: dict[str, Message] = {
    "ready": Message(
        "d4c74cec919340bea0acede4b58f2e94",
        6,
        "ready",
        "The kiosk is ready",
        "A press of the button is answered from now on, if only by an apology.",
    ),
    "stopping": Message(
        "f6f28947c0e34f889b6d0ab54a66e654",
        6,
        "stopping",
        "The kiosk is stopping",
        "It was asked to; a visit under way is closed properly.",
    ),
    "pressed": Message(
        "296e597350b24bed85a987808023259f",
        6,
        "button pressed",
        "The button was pressed",
        "By a visitor, or by an operator with `kiosk press`.",
    ),
    "visit_started": Message(
        "a807d803a54e4c2e884b1a3e76fae2e0",
        5,
        "visit started",
        "A visit started",
        "PRESS_ID is also the X-Request-Id of the backend's log.",
    ),
    "connected": Message(
        "9185aea2a9f6474a8c44efd47ca0c507",
        6,
        "connected, {input_format} up, {output_format} down",
        "A conversation is connected",
        "CONVERSATION_ID is the provider's; its dashboard shows the conversation under it.",
    ),
    "queued": Message(
        "c0fc06dd2c264866aad34a0d84013929",
        5,
        "waiting in the agent's queue",
        "A visitor waits for a free conversation",
        "Too many conversations at once. If this happens often, the plan is too small.",
    ),
    "admitted": Message(
        "15807128e98f45e4b71350603a34d07f",
        6,
        "admitted from the queue",
        "The visitor's wait is over",
        "The conversation goes on.",
    ),
    "lost": Message(
        "7499b719e19d4a81a672d09bdc8abbab",
        4,
        "conversation lost ({kind} {code} {detail}), trying again in {delay_ms} ms",
        "A conversation was lost and is tried again",
        "Check the network if this happens often: `kiosk status` on the kiosk, then the backend.",
    ),
    "visit_ended": Message(
        "ea9251d0beea4934a7e7aeb62c408c09",
        5,
        "visit ended: {kind} {code} {detail}",
        "A visit ended",
        "KIOSK_KIND tells why; the priority is that of the reason.",
    ),
    "interrupted": Message(
        "25bd6b1cc13f420a82ff5025c85734bf",
        7,
        "interrupted",
        "The visitor spoke over the agent",
        "What the agent still had to say was dropped.",
    ),
    "malformed": Message(
        "e5f4e06b64c14e3daf255360275b2429",
        4,
        "a frame from the server makes no sense: {why}",
        "The server sent a frame that is not a message",
        "It was ignored. Its content is not logged.",
    ),
    "agent_tool": Message(
        "771f3327cb3b46bd904c009d71f66584",
        6,
        "the agent used {tool}",
        "The agent used a tool of its own",
        "KIOSK_FAILED is 1 if the tool failed.",
    ),
    "tool_called": Message(
        "868b6502482f48cf9ef149a5e23884d2",
        6,
        "the agent called {tool} {error_type}",
        "The agent called a tool of the kiosk",
        "KIOSK_ERROR_TYPE is there if the tool failed.",
    ),
    "guardrail": Message(
        "8bd62e41a05d4f06afd303468b9191b2",
        5,
        "guardrail {rule}",
        "A safety rule of the agent fired",
        "The provider's dashboard shows the conversation under CONVERSATION_ID.",
    ),
    "overloaded": Message(
        "977edf9d2f62444b86809065a06b1945",
        4,
        "processing the sound takes {percent} % of real time: {consequence}",
        "This machine is too slow for echo cancellation",
        'With echo.mode = "auto" visitors can no longer interrupt the agent by voice. Set '
        'echo.mode = "half_duplex" to have it so from the start, or use a faster board.',
    ),
    "device_opened": Message(
        "d86dda08f5c24ef09149ce7e6b620e49",
        5,
        "{device} opened: {detail}",
        "A sound device was opened",
        "The device can be used.",
    ),
    "device_lost": Message(
        "a7d5f5e005d341979a5081cc9e67ed4e",
        3,
        "{device} lost: {detail}",
        "A sound device is missing",
        "It is tried again every second. `kiosk devices` lists what the machine has.",
    ),
    "fitness": Message(
        "e7ab346138724de296414282c563e998",
        5,
        "fitness: {cause}",
        "Whether a visit can be held changed",
        "`fit` means it can; otherwise a press is answered with an apology that names the cause. "
        "`paused` is what the backend said last: a press asks it again.",
    ),
    "state": Message(
        "88639633ebb949b99c10f65800057517",
        7,
        "state {state}",
        "The visit's state changed",
        "KIOSK_STATE is the new state.",
    ),
}


def catalog() -> str:
    """The journal catalog's text (`systemd/kiosk.catalog`)."""
    entries = [
        f"-- {message.id}\nSubject: {message.subject}\nDefined-By: voice-kiosk\n\n"
        f"{message.explanation}\n"
        for message in MESSAGES.values()
    ]
    return "\n".join(entries)
