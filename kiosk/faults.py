"""What an operator would act on, by its cause: one table of stable names. Pure data.

    log.warning("...", extra=fault("backend_unreachable"))

gives the entry its MESSAGE_ID and KIOSK_CAUSE. Ids are random and never change; neither do causes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One cause. `lasts`: until an entry says that it is over, or the kiosk starts anew."""

    id: str
    subject: str
    explanation: str
    remedy: str
    lasts: bool = False


def fault(cause: str) -> dict[str, dict[str, str]]:
    """What a log call takes as `extra`."""
    return {
        "journal": {
            "MESSAGE_ID": FAULTS[cause].id,
            "KIOSK_EVENT": cause,
            "KIOSK_CAUSE": cause,
        }
    }


FAULTS: dict[str, Fault] = {
    "config_invalid": Fault(
        "f3e668167a2a4ac4bd98557803806195",
        "The configuration cannot be used",
        "The text names each mistake with its key and line. The kiosk has ended with 78 and is "
        "not started again.",
        "Mend the file (`kiosk check --config FILE` tells whether it is right), then `systemctl "
        "restart kiosk`.",
        lasts=True,
    ),
    "device_token_missing": Fault(
        "683f6eba37c2443eabad66de5c17d3d0",
        "The device token is missing",
        "Without it the backend gives this kiosk nothing. The kiosk has ended with 78 and is not "
        "started again.",
        "On the backend `kiosk backend enroll NAME --code` gives a code; here `kiosk enroll | sudo "
        "systemd-creds encrypt --name=device-token - "
        "/etc/credstore.encrypted/kiosk.device-token`, then `systemctl restart kiosk`.",
        lasts=True,
    ),
    "device_unusable": Fault(
        "a34fee13d2504af6a7123d657d01d32d",
        "A device that the kiosk cannot do without cannot be opened",
        "The text names it: the button or a lamp. The kiosk has ended; systemd starts it again.",
        "Check button.pin and indicator.pin, that no other program holds them, and that the kiosk"
        " is in the group gpio.",
        lasts=True,
    ),
    "device_stuck": Fault(
        "624e51b8779c46cb94f076a146fbb208",
        "A sound card is there and only a new process can open it",
        "The kiosk has ended for that, between visits; systemd starts it again.",
        "Nothing, if it happens once after a card was plugged in. If it goes on, unplug the card,"
        " or start the machine again.",
        lasts=True,
    ),
    "unavailable": Fault(
        "51f31aebe509427eafb4a95173149bca",
        "Something that the kiosk needs is absent",
        "The text names it. The kiosk has ended; systemd starts it again.",
        "Do what the text says.",
        lasts=True,
    ),
    "failed": Fault(
        "89e64d7620b741cdad03a2d73a23b543",
        "The kiosk has ended with a failure",
        "The text tells why. systemd starts it again.",
        "Do what the text says.",
        lasts=True,
    ),
    "down": Fault(
        "a0889d920a21450d993e04fea4d4d55f",
        "A service has given up",
        "systemd does not start it again: its configuration cannot be used. KIOSK_UNIT names it.",
        "`journalctl -u UNIT` shows what it said last; mend that, then `systemctl restart UNIT`.",
        lasts=True,
    ),
    "unexpected_error": Fault(
        "d6e7cea27311412f8adb4d2fcd404f01",
        "The kiosk has ended because of a bug",
        "The entry holds the place in the program. systemd starts it again.",
        "Report the entry (`journalctl MESSAGE_ID=... -o verbose`); if it began with an upgrade, "
        "go back to the release before.",
        lasts=True,
    ),
    "settings_refused": Fault(
        "58ceaab53060499592250a2a6d4a02ef",
        "New settings were refused",
        "The text names each mistake with its key and line. The kiosk goes on with the settings "
        "it has.",
        "Mend the file (`kiosk check --config FILE` tells whether it is right), then `systemctl "
        "reload kiosk`.",
        lasts=True,
    ),
    "device_unanswered": Fault(
        "010cfe4fd96d4b6bae971985d83d3f6c",
        "A sound device has neither opened nor failed",
        "The kiosk was ready without it, after a wait of some seconds.",
        "If the kiosk does not become fit soon, unplug the card and plug it in again; `journalctl"
        " -k` shows what its driver says.",
    ),
    "driver_hangs": Fault(
        "7fb7ec8af97743638a37bb096a06090b",
        "A sound card's driver hangs",
        "The thread that serves the card did not end with the kiosk.",
        "If the kiosk does not come back, start the machine again; `journalctl -k` shows what the"
        " driver says.",
    ),
    "playback_stuck": Fault(
        "e0a17ba095624a24b613529dfa92b6d8",
        "Playback did not end in its time",
        "The loudspeaker's card does not play; the visit was ended without waiting for it.",
        "Listen to the kiosk. `kiosk status` counts the card's gaps; plug the card in again.",
    ),
    "card_differs": Fault(
        "be833b1b50bd497bbc385e1d20e5af33",
        "A sound card does not give what was asked for",
        "It is used with what it gives: sound is converted, which costs a little time.",
        "Write the rate and the channels it gives into the settings.",
    ),
    "volume_by_arithmetic": Fault(
        "b54fad9b5ae846ba911dde8a42a02159",
        "A loudspeaker's card has no volume of its own",
        "playback.volume is done by multiplying samples.",
        "Nothing, if it is loud enough; otherwise playback.mixer names the card's control.",
    ),
    "sentence_missing": Fault(
        "26b942939ae849a39564172f17fcf1f1",
        "A sentence of the kiosk's own stays silent",
        "It could not be rendered, and there is no recording of it.",
        "Install espeak-ng, or put KEY.wav into visit.messages_dir.",
    ),
    "backend_unreachable": Fault(
        "3102bd5717b1473b83e52dbb269ce6c7",
        "The backend does not answer",
        "Visits go on with the leases in hand; what is to be told is kept and told later.",
        "Check the network on the kiosk, then the backend's own journal and its /readyz.",
    ),
    "token_refused": Fault(
        "18af893d3c574c3085e6a0be695c38c1",
        "The backend does not accept this kiosk",
        "It does not know the device token, or gives what this kiosk cannot use; the text tells "
        "which.",
        "Enrol the kiosk again: `kiosk backend enroll NAME`, or let it live again if it was "
        "revoked or retired.",
    ),
    "lease_unusable": Fault(
        "7583d3c920714d32800202ee69af32bf",
        "A lease brings what cannot be used",
        "What the text names was left out; the visit takes place.",
        "Correct the kiosk's character in the backend (`kiosk backend agent check` tells what the"
        " agent allows).",
    ),
    "visits_untold": Fault(
        "e2d80b622c8e43e8993a1596f92b061d",
        "The kiosk ended before the backend knew how all visits went",
        "With a state directory they are told at the next start; without one they are lost.",
        "Give the service StateDirectory=kiosk, and look why the backend does not answer.",
    ),
    "report_refused": Fault(
        "f1d46035ba214d788a97c7c9f977885b",
        "The backend does not take the end of a visit",
        "Its books hold the visit as it knows it.",
        "Look for the visit in the backend's log; if there are many, kiosk and backend may be of "
        "different releases.",
    ),
    "report_dropped": Fault(
        "5b31c0d521cb4c98808d1d5845b22942",
        "The end of a visit was dropped",
        "The backend was away for longer than the kiosk can keep what it has to tell.",
        "Look why the backend does not answer.",
    ),
    "state_unwritable": Fault(
        "7eb8d2fdd9c7442ead6adac4699c51d0",
        "The kiosk cannot write its state directory",
        "The text names the file. Until then a restart forgets what was not told, and a token is "
        "not replaced.",
        "Check that the disk is neither full nor read-only, and that the directory belongs to the"
        " kiosk.",
    ),
    "state_unreadable": Fault(
        "2668341c77d94531a10b5925e15543d0",
        "A file in the kiosk's state directory cannot be used",
        "The text names it. The kiosk goes on without it.",
        "Check the directory's owner; a damaged file may be removed. If the backend then refuses "
        "the kiosk, enrol it again.",
    ),
    "token_malformed": Fault(
        "8b6bf50120d94c35a7ee57f9a2505b32",
        "The backend's new device token makes no sense",
        "The kiosk goes on with the token it has.",
        "Kiosk and backend may be of different releases: update the older one.",
    ),
    "token_not_replaced": Fault(
        "b5dcb8b33842442da08c5b0227da2b72",
        "The device token was not replaced",
        "The backend had asked for it. The kiosk goes on with the token it has.",
        "Nothing, if it happens once; otherwise check the backend's log under the request's id.",
    ),
    "api_key_in_address": Fault(
        "7fb84f09d45d4f5f8599bb4b5da54b20",
        "The account's API key stands in every address",
        "convai.compat.api_key_file is set: servers on the way log the key.",
        "Remove the line before visitors come; use a backend.",
    ),
    "alert_undelivered": Fault(
        "dd1eda21b84845678a600447acb2974d",
        "An alert could not be delivered",
        "The watcher keeps it and tries again, less and less often. The text tells what the mail "
        "server or the webhook said.",
        "Check the address, the password and the network of the collector; `kiosk watch --test-"
        "alert` tries them.",
    ),
    "journal_unreadable": Fault(
        "55ec609f71ef48dd8d3372775ebc6438",
        "A kiosk's collected journal cannot be read",
        "The watcher tries again; meanwhile it does not see what that kiosk reports.",
        "Check that the watcher is in the group systemd-journal-remote; `journalctl --verify "
        "--file FILE` tells whether the file is damaged.",
    ),
}
