"""Causes: why a visit cannot be held, how one ended, and what else goes wrong. Pure data.

One table of stable names. What the visitor hears, how grave it is and what an operator does about
it stand here and nowhere else: the journal's catalog, the doctor's next steps, the watcher's alerts
and the kiosk's apologies are made of it.

    log.warning("...", extra=fault("backend_unreachable"))

gives an entry the MESSAGE_ID and the KIOSK_CAUSE of its own kind. Ids are random and never change;
neither do the names.
"""

from dataclasses import dataclass

NOTHING = "Nothing needs doing."

# Syslog's priorities. From NOTICE on all is as it should be.
ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6


@dataclass(frozen=True, slots=True)
class Meaning:
    """What follows from a cause. `sentence`: the key of what the visitor hears, None for silence.

    One that is logged by itself has an `id` with a `subject` and an `explanation`. `lasts`: until
    an entry says that it is over, or the kiosk starts anew.
    """

    severity: int
    remedy: str = NOTHING
    sentence: str | None = None
    id: str = ""
    subject: str = ""
    explanation: str = ""
    lasts: bool = False


def fault(cause: str) -> dict[str, dict[str, str]]:
    """What a log call takes as `extra`, for a cause that is logged by itself."""
    meaning = CAUSES[cause]
    assert meaning.id, f"{cause} is logged with others only"
    return {"journal": {"MESSAGE_ID": meaning.id, "KIOSK_EVENT": cause, "KIOSK_CAUSE": cause}}


_PLAN = "raise the plan or the limits, which are too small"
_AGENT = "`kiosk backend agent check`"
_ENROL = "enrol the kiosk again"
_CARD = "plug it in again"
_NETWORK = "check the network, then the provider's status page"

UNFIT: dict[str, Meaning] = {
    "no_speaker": Meaning(WARNING, "see the entry of the device", "no_speaker"),
    "no_microphone": Meaning(WARNING, "see the entry of the device", "no_microphone"),
    "no_voice": Meaning(
        WARNING, "see the entry of the sentence, and `kiosk doctor`", "out_of_order"
    ),
    "out_of_order": Meaning(WARNING, _ENROL, "out_of_order"),
    "no_network": Meaning(
        WARNING, "plug the cable in, or mend the Wi-Fi: `ip link` tells", "cannot_reach"
    ),
    "cannot_reach": Meaning(WARNING, "check the network, then the backend", "cannot_reach"),
    "clock_not_set": Meaning(
        WARNING, "let the network pass NTP (UDP 123): `timedatectl` tells", "cannot_reach"
    ),
    "not_answered": Meaning(
        WARNING, "`kiosk logs visits` shows how the last ones ended, and why", "cannot_reach"
    ),
}

_ENDINGS: dict[str, Meaning] = {
    "hung_up": Meaning(INFO),
    "ended_by_operator": Meaning(INFO, sentence="stopped_here"),
    "language_changed": Meaning(INFO),
    "agent_ended": Meaning(INFO),
    "max_duration": Meaning(NOTICE, sentence="time_up"),
    "time_up": Meaning(NOTICE, sentence="time_up"),
    "abandoned": Meaning(INFO, sentence="goodbye"),
    "no_answer": Meaning(WARNING, _NETWORK, "no_answer"),
    "trial": Meaning(INFO),
    "stopped": Meaning(INFO),
    "network_lost": Meaning(WARNING, _NETWORK, "connection_lost"),
    "peer_dead": Meaning(WARNING, _NETWORK, "connection_lost"),
    "unreachable": Meaning(WARNING, _NETWORK, "cannot_reach"),
    "no_metadata": Meaning(WARNING, _NETWORK, "cannot_reach"),
    "no_credential": Meaning(ERROR, _ENROL, "cannot_reach"),
    "backend_unreachable": Meaning(WARNING, _NETWORK, "cannot_reach"),
    "paused": Meaning(NOTICE, sentence="paused"),
    "closed": Meaning(NOTICE, sentence="closed"),
    "no_minutes_left": Meaning(WARNING, _PLAN, "no_minutes_left"),
    "not_admitted": Meaning(WARNING, _NETWORK, "paused"),
    "lease_refused": Meaning(WARNING, _NETWORK, "cannot_reach"),
    "quota": Meaning(ERROR, _PLAN, "not_today"),
    "busy": Meaning(WARNING, _PLAN, "busy"),
    "too_many_presses": Meaning(
        WARNING,
        "raise `kiosk backend limit --presses-per-minute`, if they were visitors",
        "too_soon",
    ),
    "override_refused": Meaning(ERROR, _AGENT, "out_of_order"),
    "variable_missing": Meaning(ERROR, _AGENT, "out_of_order"),
    "agent_missing": Meaning(ERROR, _AGENT, "out_of_order"),
    "agent_misconfigured": Meaning(ERROR, _AGENT, "out_of_order"),
    "refused": Meaning(ERROR, _ENROL, "out_of_order"),
    "protocol": Meaning(ERROR, _NETWORK, "out_of_order"),
    "safety": Meaning(NOTICE, sentence="stopped_for_safety"),
    "not_heard": Meaning(WARNING, _NETWORK, "connection_lost"),
    "agent_failed": Meaning(WARNING, _NETWORK, "connection_lost"),
    "internal": Meaning(WARNING, _NETWORK, "connection_lost"),
    "microphone_lost": Meaning(ERROR, _CARD, "no_microphone"),
    "speaker_lost": Meaning(ERROR, _CARD),
}

_LOGGED: dict[str, Meaning] = {
    "config_invalid": Meaning(
        ERROR,
        "Mend the file (`kiosk check --config FILE` tells whether it is right), then `systemctl "
        "restart kiosk`.",
        id="f3e668167a2a4ac4bd98557803806195",
        subject="The configuration cannot be used",
        explanation="The text names each mistake with its key and line. The kiosk has ended with "
        "78 and is not started again.",
        lasts=True,
    ),
    "device_token_missing": Meaning(
        ERROR,
        "On the backend `kiosk backend enroll NAME --code` gives a code; here `kiosk enroll | "
        "sudo systemd-creds encrypt --name=device-token - "
        "/etc/credstore.encrypted/kiosk.device-token`, then `systemctl restart kiosk`.",
        id="683f6eba37c2443eabad66de5c17d3d0",
        subject="The device token is missing",
        explanation="Without it the backend gives this kiosk nothing. The kiosk has ended with "
        "78 and is not started again.",
        lasts=True,
    ),
    "device_unusable": Meaning(
        ERROR,
        "Check button.pin and indicator.pin, that no other program holds them, and that the "
        "kiosk is in the group gpio.",
        id="a34fee13d2504af6a7123d657d01d32d",
        subject="A device that the kiosk cannot do without cannot be opened",
        explanation="The text names it: the button or a lamp. The kiosk has ended; systemd "
        "starts it again.",
        lasts=True,
    ),
    "device_stuck": Meaning(
        ERROR,
        "Nothing, if it happens once after a card was plugged in. If it goes on, unplug the "
        "card, or start the machine again.",
        id="624e51b8779c46cb94f076a146fbb208",
        subject="A sound card is there and only a new process can open it",
        explanation="The kiosk has ended for that, between visits; systemd starts it again.",
        lasts=True,
    ),
    "unavailable": Meaning(
        ERROR,
        "Do what the text says.",
        id="51f31aebe509427eafb4a95173149bca",
        subject="Something that the kiosk needs is absent",
        explanation="The text names it. The kiosk has ended; systemd starts it again.",
        lasts=True,
    ),
    "failed": Meaning(
        ERROR,
        "Do what the text says.",
        id="89e64d7620b741cdad03a2d73a23b543",
        subject="The kiosk has ended with a failure",
        explanation="The text tells why. systemd starts it again.",
        lasts=True,
    ),
    "down": Meaning(
        ERROR,
        "`journalctl -u UNIT` shows what it said last; mend that, then `systemctl restart UNIT`.",
        id="a0889d920a21450d993e04fea4d4d55f",
        subject="A service has given up",
        explanation="systemd does not start it again: its configuration cannot be used. "
        "KIOSK_UNIT names it.",
        lasts=True,
    ),
    "unexpected_error": Meaning(
        ERROR,
        "Report the entry (`journalctl MESSAGE_ID=... -o verbose`); if it began with an upgrade, "
        "go back to the release before.",
        id="d6e7cea27311412f8adb4d2fcd404f01",
        subject="The kiosk has ended because of a bug",
        explanation="The entry holds the place in the program. systemd starts it again.",
        lasts=True,
    ),
    "settings_refused": Meaning(
        ERROR,
        "Mend the file (`kiosk check --config FILE` tells whether it is right), then `systemctl "
        "reload kiosk`.",
        id="58ceaab53060499592250a2a6d4a02ef",
        subject="New settings were refused",
        explanation="The text names each mistake with its key and line. The kiosk goes on with "
        "the settings it has.",
        lasts=True,
    ),
    "device_unanswered": Meaning(
        WARNING,
        "If the kiosk does not become fit soon, unplug the card and plug it in again; "
        "`journalctl -k` shows what its driver says.",
        id="010cfe4fd96d4b6bae971985d83d3f6c",
        subject="A sound device has neither opened nor failed",
        explanation="The kiosk was ready without it, after a wait of some seconds.",
    ),
    "driver_hangs": Meaning(
        ERROR,
        "If the kiosk does not come back, start the machine again; `journalctl -k` shows what "
        "the driver says.",
        id="7fb7ec8af97743638a37bb096a06090b",
        subject="A sound card's driver hangs",
        explanation="The thread that serves the card did not end with the kiosk.",
    ),
    "playback_stuck": Meaning(
        WARNING,
        "Listen to the kiosk. `kiosk status` counts the card's gaps; plug the card in again.",
        id="e0a17ba095624a24b613529dfa92b6d8",
        subject="Playback did not end in its time",
        explanation="The loudspeaker's card does not play; the visit was ended without waiting "
        "for it.",
    ),
    "card_differs": Meaning(
        WARNING,
        "Write the rate and the channels it gives into the settings.",
        id="be833b1b50bd497bbc385e1d20e5af33",
        subject="A sound card does not give what was asked for",
        explanation="It is used with what it gives: sound is converted, which costs a little time.",
    ),
    "volume_by_arithmetic": Meaning(
        WARNING,
        "Nothing, if it is loud enough; otherwise playback.mixer names the card's control.",
        id="b54fad9b5ae846ba911dde8a42a02159",
        subject="A loudspeaker's card has no volume of its own",
        explanation="playback.volume is done by multiplying samples.",
    ),
    "microphone_not_set": Meaning(
        WARNING,
        "Name the card in capture.device and its control in capture.mixer (`amixer -c CARD` lists "
        "them), or leave capture.volume and capture.agc out.",
        id="f44169c82a9645f09dc0bba8c9c3f7ac",
        subject="A microphone's volume or automatic gain cannot be set",
        explanation="The card is used as it is.",
    ),
    "sentence_missing": Meaning(
        WARNING,
        "Do what the text says: install espeak-ng, or set visit.voice; or put KEY.wav into "
        "visit.messages_dir.",
        id="26b942939ae849a39564172f17fcf1f1",
        subject="A sentence of the kiosk's own stays silent",
        explanation="It could not be rendered, and there is no recording of it.",
    ),
    "backend_unreachable": Meaning(
        WARNING,
        "Check the network on the kiosk, then the backend's own journal and its /readyz.",
        id="3102bd5717b1473b83e52dbb269ce6c7",
        subject="The backend does not answer",
        explanation="Visits go on with the leases in hand; what is to be told is kept and told "
        "later.",
    ),
    "token_refused": Meaning(
        WARNING,
        "Enrol the kiosk again: `kiosk backend enroll NAME`, or let it live again if it was "
        "revoked or retired.",
        id="18af893d3c574c3085e6a0be695c38c1",
        subject="The backend does not accept this kiosk",
        explanation="It does not know the device token, or gives what this kiosk cannot use; the "
        "text tells which.",
    ),
    "lease_unusable": Meaning(
        WARNING,
        "Correct the kiosk's character in the backend (`kiosk backend agent check` tells what "
        "the agent allows).",
        id="7583d3c920714d32800202ee69af32bf",
        subject="A lease brings what cannot be used",
        explanation="What the text names was left out; the visit takes place.",
    ),
    "visits_untold": Meaning(
        WARNING,
        "Give the service StateDirectory=kiosk, and look why the backend does not answer.",
        id="e2d80b622c8e43e8993a1596f92b061d",
        subject="The kiosk ended before the backend knew how all visits went",
        explanation="With a state directory they are told at the next start; without one they "
        "are lost.",
    ),
    "report_refused": Meaning(
        WARNING,
        "Look for the visit in the backend's log; if there are many, kiosk and backend may be of "
        "different releases.",
        id="f1d46035ba214d788a97c7c9f977885b",
        subject="The backend does not take the end of a visit",
        explanation="Its books hold the visit as it knows it.",
    ),
    "report_dropped": Meaning(
        WARNING,
        "Look why the backend does not answer.",
        id="5b31c0d521cb4c98808d1d5845b22942",
        subject="The end of a visit was dropped",
        explanation="The backend was away for longer than the kiosk can keep what it has to tell.",
    ),
    "state_unwritable": Meaning(
        WARNING,
        "Check that the disk is neither full nor read-only, and that the directory belongs to "
        "the kiosk.",
        id="7eb8d2fdd9c7442ead6adac4699c51d0",
        subject="The kiosk cannot write its state directory",
        explanation="The text names the file. Until then a restart forgets what was not told, "
        "and a token is not replaced.",
    ),
    "state_unreadable": Meaning(
        WARNING,
        "Check the directory's owner; a damaged file may be removed. If the backend then refuses "
        "the kiosk, enrol it again.",
        id="2668341c77d94531a10b5925e15543d0",
        subject="A file in the kiosk's state directory cannot be used",
        explanation="The text names it. The kiosk goes on without it.",
    ),
    "token_malformed": Meaning(
        WARNING,
        "Kiosk and backend may be of different releases: update the older one.",
        id="8b6bf50120d94c35a7ee57f9a2505b32",
        subject="The backend's new device token makes no sense",
        explanation="The kiosk goes on with the token it has.",
    ),
    "token_not_replaced": Meaning(
        WARNING,
        "Nothing, if it happens once; otherwise check the backend's log under the request's id.",
        id="b5dcb8b33842442da08c5b0227da2b72",
        subject="The device token was not replaced",
        explanation="The backend had asked for it. The kiosk goes on with the token it has.",
    ),
    "api_key_in_address": Meaning(
        WARNING,
        "Remove the line before visitors come; use a backend.",
        id="7fb84f09d45d4f5f8599bb4b5da54b20",
        subject="The account's API key stands in every address",
        explanation="convai.compat.api_key_file is set: servers on the way log the key.",
    ),
    "morning_check_failed": Meaning(
        WARNING,
        "`sudo kiosk doctor`, and `sudo kiosk doctor --sound` while nobody is near, name the cause "
        "and one next step each.",
        id="d640ffc13d20442da508a0514d217da5",
        subject="The morning check found a fault",
        explanation="At sound.check_at the kiosk measures its sound against the reference kept at "
        "installation, and looks at lease, backend and the rest. The text names what is wrong.",
    ),
    "tool_failed": Meaning(
        WARNING,
        "`kiosk logs visit` with the press's id has the calls; try the command by hand: deploy/"
        "control.md.",
        id="ee236c4bcb8b4a4a9c3201157f1d733b",
        subject="A tool of the agent's failed",
        explanation="The agent was told so, and went on. The text names a command of this machine.",
    ),
    "metrics_unwritten": Meaning(
        WARNING,
        "Check the directory and its group: deploy/monitoring.md has both.",
        id="2044ab1eebf04f24b62a919f45535120",
        subject="The metrics cannot be written",
        explanation="The text names the file. The kiosk tries again, and holds visits.",
    ),
    "alert_undelivered": Meaning(
        WARNING,
        "Check the address, the password and the network of the collector; `kiosk watch "
        "--test-alert` tries them.",
        id="dd1eda21b84845678a600447acb2974d",
        subject="An alert could not be delivered",
        explanation="The watcher keeps it and tries again, less and less often. The text tells "
        "what the mail server or the webhook said.",
    ),
    "journal_unreadable": Meaning(
        WARNING,
        "Check that the watcher is in the group systemd-journal-remote; `journalctl --verify "
        "--file FILE` tells whether the file is damaged.",
        id="55ec609f71ef48dd8d3372775ebc6438",
        subject="A kiosk's collected journal cannot be read",
        explanation="The watcher tries again; meanwhile it does not see what that kiosk reports.",
    ),
}

# What entries about something else name, too.
_BESIDE: dict[str, Meaning] = {
    "overloaded": Meaning(
        WARNING,
        'Set echo.mode = "half_duplex" to have it so from the start, or use a faster board.',
    ),
    "button_stuck": Meaning(
        ERROR, "Free the button; if nobody leans on it, look at its wires and `button.pull_up`."
    ),
    "button_flutters": Meaning(
        ERROR, "Look at the button's wires: one is loose, or takes up the mains."
    ),
    "microphone_silent": Meaning(
        ERROR,
        "Switch the microphone's mute off, on the device; if it has none, plug it in again.",
        "no_microphone",
    ),
    "microphone_muted": Meaning(
        ERROR,
        "Turn up the control that the text names, with `alsamixer`, or set capture.volume.",
        "no_microphone",
    ),
    "malformed_frame": Meaning(
        WARNING,
        "Nothing, if visits go on. Many of them: the kiosk's release may be older than the "
        "service's contract.",
    ),
}

# What spoils a visit that ended as it should, or explains why it did not.
_SPOILS: dict[str, Meaning] = {
    "microphone_zeros": Meaning(
        WARNING, "Switch the microphone's mute off, on the device and in `alsamixer`."
    ),
    "loop_stalled": Meaning(
        WARNING,
        "Look for what else keeps this machine busy: `top`, the card's speed, its heat; `kiosk "
        "doctor` tells of the last two.",
    ),
    "xruns": Meaning(
        WARNING,
        "Give the sound card a USB port and a power supply of its own, and look for what else "
        "keeps this machine busy.",
    ),
    "lossy_link": Meaning(
        WARNING,
        "Bring the kiosk nearer to its access point, or give it a cable; `kiosk doctor` tells of "
        'the Wi-Fi. Where neither helps, choose agent.transport = "webrtc" (deploy/webrtc.md).',
    ),
    "lossy_room": Meaning(
        WARNING,
        "Bring the kiosk nearer to its access point, or give it a cable; `kiosk doctor` tells of "
        "the Wi-Fi.",
    ),
    "slow_link": Meaning(
        WARNING,
        "Look for what else uses the line; on a mobile link, for a better place of its antenna.",
    ),
    "echo_leak": Meaning(
        WARNING,
        "Turn the loudspeaker down, or move it away from the microphone; the page on sound tells "
        "how to measure it.",
    ),
    "agent_stutters": Meaning(
        WARNING,
        "Give the agent a quicker voice, or tools that answer sooner: its sound breaks off in the "
        "middle of answers.",
    ),
    "slow_agent": Meaning(
        WARNING, "Give the agent a quicker model or voice, or a shorter prompt and fewer documents."
    ),
    "visitor_left": Meaning(NOTICE),
}

CAUSES: dict[str, Meaning] = {**UNFIT, **_ENDINGS, **_LOGGED, **_BESIDE, **_SPOILS}
