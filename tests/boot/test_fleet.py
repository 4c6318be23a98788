"""From blank machines to a fleet that is updated, breaks, mends itself and is taken down again.

The tests are one story: each needs those before it.
"""

import json
import re
import shlex
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor

import pytest

from kiosk.link.lease_keeper import STALE_S
from kiosk.ops.messages import entries as known_entries
from tests.boot.fleet import (
    API_KEY,
    BACKEND_PORT,
    NEXT_API_KEY,
    SUITES,
    WITHOUT_HARDWARE,
    Fleet,
    trusts_whom_this_machine_trusts,
)
from tests.boot.pages import RUN_ELSEWHERE, commands_of
from tests.boot.releases import other_version
from tests.machines.asking import (
    await_entries,
    await_failed,
    await_restart,
    await_state,
    entries,
    is_serving,
    main_pid,
    release,
    restarts,
    shown,
    state,
    status,
    until,
)
from tests.machines.control import copy_checkout
from tests.machines.guests import Guest

pytestmark = [pytest.mark.timeout(600)]

ID = {name: each.id for name, each in known_entries()}
CONTROL = """make control
. .venv-deploy/bin/activate
cd deploy
cp -r inventory.example inventory"""
# ansible's own entry when a playbook asks whether the kiosk is idle.
_IDLE_QUESTION = "argv=['/usr/local/bin/kiosk', 'status', '--json']"
REMOTE = "/var/log/journal/remote"
# What is in the one Pi's checkout, as a repository of root's; then something newer in it.
_PULL_CHANGES = 7  # a checkout, its mark, its place, what fetches, service, timer, its start
_PUBLISHED = "/root/published.git"
_PUBLISH = f"""
set -eu
git init -q --bare -b main {_PUBLISHED}
cp -r /home/pi/voice-kiosk /root/work
cd /root/work
git config --global user.name root
git config --global user.email root@localhost
git init -q -b main
git add -A
git commit -q -m 'What was copied'
git push -q {_PUBLISHED} main
"""
_PUBLISH_NEWER = f"""
set -eu
cd /root/work
sed -i 's/^version = .*/version = "0.4.0"/' pyproject.toml
sed -i 's/^__version__ = .*/__version__ = "0.4.0"/' kiosk/__init__.py
git commit -q -a -m 'Another version'
git push -q {_PUBLISHED} main
"""
RESTART_LIMIT_PER_MINUTE = 12
# What the page is sent first, by the library that sends it.
_FIRST_VIEW = """$(readlink -f /opt/kiosk/current/bin)/python -c "
from websockets.sync.client import connect
at = '127.0.0.1:8470'
print(connect(f'ws://{at}/view', origin=f'http://{at}').recv())
" """
_PRESSES_OVER = """
import socket
with socket.socket(socket.AF_UNIX) as kiosk:
    kiosk.connect("{socket}")
    kiosk.sendall(b'{{"command": "press"}}\\n')
    print(kiosk.recv(4096).decode())
"""


def _held_visit(guest: Guest) -> str:
    """Press, be greeted, hang up; the visit's press id."""
    guest.run("kiosk press")
    await_state(guest, "speaking", "listening", timeout_s=20)
    press_id = (status(guest) or {})["press_id"]
    guest.run("kiosk end")
    await_state(guest, "idle", timeout_s=20)
    return str(press_id)


def _told(guest: Guest, text: str) -> int:
    """How often the journal says it."""
    return guest.run("journalctl --no-pager").count(text)


def _move(kiosk: Guest, site: str) -> None:
    kiosk.run(
        f"sed -i --follow-symlinks 's/^site = .*/site = \"{site}\"/' /etc/kiosk/config.toml"
        " && systemctl reload kiosk.service"
    )


# --- from blank machines to a visit ---------------------------------------------------------------


def test_blank_machines_become_a_fleet(fleet: Fleet) -> None:
    with ThreadPoolExecutor(1) as beside:
        building = beside.submit(fleet.typed, "./build-release python3.11 python3.13")
        prepared = fleet.typed(CONTROL, within=".")
    for run in (prepared, building.result()):
        assert run.returncode == 0, run.output
    fleet.write_inventory()
    fleet.played("ansible-playbook site.yml -e kiosk_batches=100%")
    for kiosk in fleet.kiosks:
        assert is_serving(kiosk)
        assert kiosk.run("systemctl is-enabled kiosk.service").strip() == "enabled"
        assert state(kiosk) == "idle"


def test_the_journal_is_on_the_card_before_the_next_boot(fleet: Fleet) -> None:
    for kiosk in fleet.kiosks:
        kept = kiosk.run("journalctl --no-pager --directory=/var/log/journal -u kiosk.service")
        assert "Started" in kept


def test_a_second_run_changes_nothing(fleet: Fleet) -> None:
    again = fleet.played("ansible-playbook site.yml")
    assert all(again.ran_on(name) for name in fleet.guests)
    assert again.changed() == {}


def test_the_unit_as_it_runs_is_exposed_to_1_3_at_most(fleet: Fleet) -> None:
    for kiosk in fleet.kiosks:
        kiosk.run("systemd-analyze security --threshold=13 kiosk.service")


def test_a_visit_leaves_one_record_with_its_stages_and_no_content(fleet: Fleet) -> None:
    for kiosk in fleet.kiosks:
        press_id = _held_visit(kiosk)
        (record,) = await_entries(
            kiosk, f"MESSAGE_ID={ID['visit_ended']}", f"PRESS_ID={press_id}", timeout_s=10
        )
        assert record["KIOSK_ID"] == kiosk.name
        assert record["KIOSK_SITE"] == kiosk.name
        assert record["_SYSTEMD_UNIT"] == "kiosk.service"
        assert record["CONVERSATION_ID"].startswith("conv_")
        assert float(record["KIOSK_DURATION_S"]) > 0
        assert 0 < float(record["KIOSK_CONNECT_MS"]) < 10_000


def test_the_catalog_explains_the_record(fleet: Fleet) -> None:
    for kiosk in fleet.kiosks:
        explained = kiosk.run(f"journalctl --catalog --no-pager MESSAGE_ID={ID['visit_ended']}")
        assert "A visit ended" in explained


def test_the_records_arrive_at_the_collector(fleet: Fleet) -> None:
    for kiosk in fleet.kiosks:
        await_entries(
            fleet.server,
            f"MESSAGE_ID={ID['visit_ended']}",
            f"KIOSK_ID={kiosk.name}",
            directory=REMOTE,
            timeout_s=30,
        )


def test_the_collector_takes_journals_from_its_fleet_only(fleet: Fleet) -> None:
    kiosk = fleet.kiosks[0]
    send = (
        "printf '__REALTIME_TIMESTAMP=1\\nMESSAGE=forged\\n\\n' | python3 -c '"
        "import ssl, sys, urllib.request as r; c = ssl._create_unverified_context(); {own}"
        'r.urlopen(r.Request("https://127.0.0.1:19532/upload", sys.stdin.buffer.read(), '
        '{{"Content-Type": "application/vnd.fdo.journal"}}), context=c)\''
    )
    own = 'c.load_cert_chain("/etc/kiosk-journal/certificate.pem", "/etc/kiosk-journal/key.pem"); '
    assert kiosk.try_run(send.format(own="")).returncode != 0
    assert kiosk.try_run(send.format(own=own)).returncode == 0


def test_no_secret_stands_in_a_journal_or_a_readable_file(fleet: Fleet) -> None:
    for guest in (*fleet.kiosks, fleet.server):
        assert API_KEY not in guest.run("journalctl --no-pager --output=export --all")
        found = guest.try_run(
            f"grep -rlsa -e {API_KEY} -e kdt_ /etc /opt /var/lib /home /usr/local --exclude=*.py"
            " --exclude=*.pyc --exclude-dir=programs"
        ).stdout.split()
        # The device token of a kiosk that was given a newer one; its own directory, mode 0700.
        assert [name for name in found if name != "/var/lib/kiosk/device-token"] == []


def test_what_the_page_says_of_reading_works(fleet: Fleet) -> None:
    north, server = fleet.kiosks[0], fleet.server
    assert "idle" in fleet.typed_on(north, "sudo kiosk status")
    assert "ended_by_operator" in fleet.typed_on(north, "sudo kiosk logs visits")
    fleet.typed_on(north, "sudo kiosk logs faults")
    fleet.typed_on(north, "sudo journalctl --catalog -t kiosk -n 20")
    assert " fail" in fleet.typed_on(north, "sudo kiosk doctor")
    told = fleet.typed_on(server, "sudo kiosk logs visits --remote")
    assert "north" in told
    assert "south" in told
    fleet.typed_on(server, "sudo kiosk logs faults --remote --kiosk north")
    fleet.typed_on(server, "sudo kiosk-watch --test-alert")
    assert [alert["cause"] for alert in fleet.webhook.alerts][-1:] == ["test"]
    fleet.played("ansible-playbook doctor.yml")


# --- what happens by itself -----------------------------------------------------------------------


def test_a_frozen_kiosk_is_killed_by_the_watchdog_and_comes_back(fleet: Fleet) -> None:
    with fleet.playing("ansible-playbook site.yml --check --limit north") as trial:
        _struck(fleet, "STOP", back_within_s=60)
    for kiosk in fleet.kiosks:
        assert "watchdog" in kiosk.run("journalctl --no-pager -u kiosk.service").lower()
    assert trial.result().changed() == {}


def _struck(fleet: Fleet, signal: str, *, back_within_s: float) -> None:
    """The signal goes to every kiosk; each is started again, once, and serves; none is told to be
    down."""
    down = f"MESSAGE_ID={ID['down']}"
    before = {kiosk.name: (main_pid(kiosk), restarts(kiosk)) for kiosk in fleet.kiosks}
    told_down = {kiosk.name: len(entries(kiosk, down)) for kiosk in fleet.kiosks}
    for kiosk in fleet.kiosks:
        kiosk.run(f"kill -{signal} {main_pid(kiosk)}")
    for kiosk in fleet.kiosks:
        pid, count = before[kiosk.name]
        await_restart(kiosk, pid, timeout_s=back_within_s)
        await_state(kiosk, "idle", timeout_s=15)
        assert restarts(kiosk) == count + 1
        assert len(entries(kiosk, down)) == told_down[kiosk.name]


def test_the_injected_fault_raises_an_alert(fleet: Fleet) -> None:
    for kiosk in fleet.kiosks:
        fleet.webhook.await_alert("service_failed", kiosk.name, timeout_s=60)


def test_a_crash_is_over_in_ten_seconds(fleet: Fleet) -> None:
    _struck(fleet, "SEGV", back_within_s=10)


def test_a_restart_storm_is_slow_and_never_ends_in_death(fleet: Fleet) -> None:
    """It takes its time, in which one Pi sets itself up, an update is tried, and a kiosk from which
    nothing is heard is missed."""
    south = fleet.kiosks[1]
    fleet.webhook.alerts.clear()
    south.run("systemctl stop systemd-journal-upload.service")
    drop_in = "/run/systemd/system/kiosk.service.d/storm.conf"
    for kiosk in fleet.kiosks:
        kiosk.run(f"mkdir -p $(dirname {drop_in})")
        text = "[Service]\nExecStart=\nExecStart=/bin/false\n"
        kiosk.run(f"tee {drop_in} && systemctl daemon-reload", stdin=text)
        # A start that fails ends its job on systemd 252 only.
        kiosk.run("systemctl restart --no-block kiosk.service; sleep 1")  # the count begins anew
    began = {kiosk.name: (time.monotonic(), restarts(kiosk)) for kiosk in fleet.kiosks}
    _set_up_alone(fleet)
    for kiosk in fleet.kiosks:
        began_s, count = began[kiosk.name]
        time.sleep(max(0.0, began_s + 60 - time.monotonic()))
        starts = restarts(kiosk) - count
        minutes = (time.monotonic() - began_s) / 60
        assert 1 <= starts <= RESTART_LIMIT_PER_MINUTE * minutes
        assert shown(kiosk, "ActiveState")["ActiveState"] in ("activating", "inactive")
        kiosk.run(f"rm {drop_in} && systemctl daemon-reload")
    other_version(fleet.checkout, "0.2.0")
    _try_an_update(fleet)
    for kiosk in fleet.kiosks:
        await_state(kiosk, "idle", timeout_s=75)
    fleet.webhook.await_alert("silent", "south", timeout_s=60)
    south.run("systemctl start systemd-journal-upload.service")


def _set_up_alone(fleet: Fleet) -> None:
    """With one command, by itself."""
    alone = fleet.boot_guest("alone", "bookworm", 18404)
    alone.run("apt-get update -qq && apt-get install -qq -y --no-install-recommends make")
    copy_checkout(alone.file("/home/pi/voice-kiosk"))
    settings = json.dumps(WITHOUT_HARDWARE)
    trusts_whom_this_machine_trusts(alone)
    # ssh brings along the locale of the laptop, which is unknown here.
    profile = f"export LC_ALL=de_DE.UTF-8 KIOSK_SETTINGS='{settings}'\n"
    alone.run("tee -a /home/pi/.profile", stdin=profile)
    alone.run("echo 'cd voice-kiosk' >> /home/pi/.profile && chown -R pi: /home/pi")
    code = fleet.server.run("kiosk-backend enroll alone --code").splitlines()[-1]
    answers = ("alone", "default", f"http://127.0.0.1:{BACKEND_PORT}", code)
    output = fleet.typed_on(alone, "make install", stdin="\n".join(answers) + "\n")
    assert "failed=0" in output
    assert code not in output
    _held_visit(alone)


def _try_an_update(fleet: Fleet) -> None:
    """What would it change? Nothing is changed by that."""
    before = {kiosk.name: kiosk.run("ls -lR /opt/kiosk | head -100") for kiosk in fleet.kiosks}
    trial = fleet.played("ansible-playbook update.yml -e kiosk_version=0.2.0 --check")
    assert set(trial.changed()) == {*SUITES, "server"}
    for kiosk in fleet.kiosks:
        assert kiosk.run("ls -lR /opt/kiosk | head -100") == before[kiosk.name]
        assert release(kiosk).startswith("0.1.0-")


def test_a_stop_is_clean(fleet: Fleet) -> None:
    for kiosk in fleet.kiosks:
        kiosk.run("kiosk press")
        await_state(kiosk, "speaking", timeout_s=20)
        began_s = time.monotonic()
        kiosk.run("systemctl stop kiosk.service")
        assert time.monotonic() - began_s < 5
        found = shown(kiosk, "Result", "ExecMainStatus", "ActiveState")
        assert found == {"Result": "success", "ExecMainStatus": "0", "ActiveState": "inactive"}
        kiosk.run("systemctl start kiosk.service")
        await_state(kiosk, "idle", timeout_s=15)


def test_a_reload_takes_settings_without_ending_the_visit(fleet: Fleet) -> None:
    for kiosk in fleet.kiosks:
        kiosk.run("kiosk press")
        await_state(kiosk, "speaking", timeout_s=20)
        pid = main_pid(kiosk)
        kiosk.run(
            "sed -i 's/^site = .*/site = \"moved\"/' /etc/kiosk/config.toml --follow-symlinks"
        )
        kiosk.run("systemctl reload kiosk.service")
        assert state(kiosk) not in ("idle", "closing", None)
        kiosk.run("kiosk end")
        await_state(kiosk, "idle", timeout_s=20)
        assert main_pid(kiosk) == pid
        await_entries(kiosk, "KIOSK_SITE=moved", timeout_s=40)
        _move(kiosk, kiosk.name)


def test_a_configuration_that_cannot_be_used_is_told_and_not_tried_again(fleet: Fleet) -> None:
    for kiosk in fleet.kiosks:
        kiosk.run("cp /etc/kiosk/config.toml /tmp/config.toml")
        kiosk.run("printf '[capture]\\nrate_hz = 7\\n' > /opt/kiosk/current/config.toml")
        kiosk.try_run("systemctl restart kiosk.service")
        await_failed(kiosk, timeout_s=10)
        assert shown(kiosk, "ExecMainStatus", "NRestarts") == {
            "ExecMainStatus": "78",
            "NRestarts": "0",
        }
        (told,) = entries(kiosk, f"MESSAGE_ID={ID['config_invalid']}")
        assert "capture.rate_hz" in told["MESSAGE"]
        assert told["KIOSK_CAUSE"] == "config_invalid"
        await_entries(kiosk, f"MESSAGE_ID={ID['down']}", timeout_s=10)
        kiosk.run("cat /tmp/config.toml > /opt/kiosk/current/config.toml")
        kiosk.run("systemctl restart kiosk.service")


def test_a_missing_device_token_is_told_by_the_daemon(fleet: Fleet) -> None:
    kept = "/etc/credstore.encrypted/kiosk.device-token"
    for kiosk in fleet.kiosks:
        kiosk.run(
            f"mv {kept} /root/token && mv /var/lib/kiosk/device-token /root/ 2>/dev/null; true"
        )
        kiosk.try_run("systemctl restart kiosk.service")
        (told,) = await_entries(kiosk, f"MESSAGE_ID={ID['device_token_missing']}", timeout_s=10)
        assert "enroll" in told["MESSAGE"]
        kiosk.run(f"mv /root/token {kept}; mv /root/device-token /var/lib/kiosk/ 2>/dev/null; true")
        kiosk.run("systemctl restart kiosk.service")
        await_state(kiosk, "idle", timeout_s=15)


# --- releases -------------------------------------------------------------------------------------


def test_an_update_waits_for_the_visit_under_way(fleet: Fleet) -> None:
    north, south = fleet.kiosks
    came, asked = _told(north, "Invoked with"), _told(north, _IDLE_QUESTION)
    with ThreadPoolExecutor(1) as beside:
        update = beside.submit(fleet.played, "ansible-playbook update.yml -e kiosk_version=0.2.0")
        until(
            lambda: _told(north, "Invoked with") > came, 400, "the playbook's coming to the canary"
        )
        north.run("kiosk press")
        await_state(north, "speaking", timeout_s=20)
        until(lambda: _told(north, _IDLE_QUESTION) > asked + 1, 200, "the question, and once more")
        assert status(north)["version"] == "0.1.0"
        assert state(north) != "idle"
        north.run("kiosk end")
        update.result()
    fleet.write_inventory(version="0.2.0")  # it names it from now on
    (last,) = entries(north, f"MESSAGE_ID={ID['visit_ended']}")[-1:]
    assert last["KIOSK_KIND"] == "ended_by_operator"
    for kiosk in (north, south):
        assert release(kiosk).startswith("0.2.0-")
        assert status(kiosk)["version"] == "0.2.0"


def test_a_rollback_brings_the_former_version_back(fleet: Fleet) -> None:
    fleet.played("ansible-playbook rollback.yml")
    for kiosk in fleet.kiosks:
        assert release(kiosk).startswith("0.1.0-")
        assert (status(kiosk) or {})["version"] == "0.1.0"
    fleet.played("ansible-playbook rollback.yml")  # and again is forward
    for kiosk in fleet.kiosks:
        assert release(kiosk).startswith("0.2.0-")


def test_a_broken_update_is_undone_and_goes_no_further(fleet: Fleet) -> None:
    other_version(fleet.checkout, "0.3.0", broken=True)
    north, south = fleet.kiosks
    pid = main_pid(south)
    run = fleet.typed("ansible-playbook update.yml --limit kiosks -e kiosk_version=0.3.0")
    assert run.returncode != 0
    assert "this version cannot start" in run.output
    assert "runs 0.2.0-" in run.output
    assert release(north).startswith("0.2.0-")
    assert is_serving(north)
    assert main_pid(south) == pid
    assert "0.3.0" not in south.run("ls /opt/kiosk/programs /opt/kiosk/releases")


def test_a_release_that_the_doctor_fails_is_undone_and_the_fault_named(fleet: Fleet) -> None:
    north, _ = fleet.kiosks
    before = release(north)
    wrong = {**WITHOUT_HARDWARE, "capture": {"driver": "alsa", "device": "NoSuchCard"}}
    extra = json.dumps({"kiosk_version": "0.2.0", "kiosk_settings": wrong})
    run = fleet.typed(f"ansible-playbook update.yml --limit north -e '{extra}'")
    assert run.returncode != 0
    assert "kiosk does not do well" in run.output
    assert "capture_card" in run.output
    assert release(north) == before
    await_state(north, "idle", timeout_s=15)


def test_a_setting_that_cannot_be_used_never_reaches_the_running_kiosk(fleet: Fleet) -> None:
    north, _ = fleet.kiosks
    pid = main_pid(north)
    extra = json.dumps({"kiosk_own_settings": {"kiosk": {"nmae": "north"}}})
    run = fleet.typed(f"ansible-playbook update.yml --limit north -e '{extra}'")
    assert run.returncode != 0
    assert "kiosk.nmae" in run.output
    assert main_pid(north) == pid


def test_a_button_on_the_sound_boards_pins_is_refused(fleet: Fleet) -> None:
    wired = {"kiosk_sound_overlay": "hifiberry-dac", "kiosk_settings": {"button": {"pin": 19}}}
    run = fleet.typed(f"ansible-playbook site.yml --check --limit north -e '{json.dumps(wired)}'")
    assert run.returncode != 0
    assert "GPIO 19 belongs to the sound board hifiberry-dac" in " ".join(run.output.split())


# --- tokens ---------------------------------------------------------------------------------------


def test_a_revoked_kiosk_shows_as_such_and_is_let_in_again(fleet: Fleet) -> None:
    north, _ = fleet.kiosks
    fleet.typed_on(fleet.server, "sudo kiosk-backend revoke north")
    examined = fleet.typed("ansible-playbook doctor.yml --limit north")
    assert examined.returncode != 0
    assert "lease" in examined.output
    assert "enroll" in examined.output
    fleet.played("ansible-playbook site.yml --limit north -e kiosk_enroll_again=true")
    await_state(north, "idle", timeout_s=15)
    assert "a visit could begin now" in north.run("kiosk doctor")
    _held_visit(north)


# --- a new key, and the end -----------------------------------------------------------------------


def test_a_new_api_key_is_used_at_once_while_the_one_pi_fetches_its_updates(fleet: Fleet) -> None:
    for kiosk in fleet.kiosks:  # a stop forgets the lease, a start asks for another
        kiosk.run("systemctl stop kiosk.service && systemctl start kiosk.service")
        await_state(kiosk, "idle", timeout_s=15)
    began_s = time.monotonic()
    fleet.use_key(NEXT_API_KEY)
    fleet.write_inventory(api_key=NEXT_API_KEY, version="0.2.0")
    with fleet.playing("ansible-playbook site.yml --limit backend"):
        _fetch_updates(fleet)
    time.sleep(max(0.0, began_s + STALE_S + 1 - time.monotonic()))
    for kiosk in fleet.kiosks:
        _held_visit(kiosk)
        assert _told(kiosk, "a lease fetched ahead was refused") == 1
    _held_visit(fleet.guests["alone"])


def _fetch_updates(fleet: Fleet) -> None:
    alone = fleet.guests["alone"]
    alone.run("apt-get install -qq -y --no-install-recommends git")
    alone.run("HOME=/root sh", stdin=_PUBLISH)
    told = f"s|kiosk_pull_from: .*|kiosk_pull_from: {_PUBLISHED}|"
    alone.run(f"sed -i '{told}' /etc/kiosk/answers.yml")
    alone.run("HOME=/root sh", stdin=_PUBLISH_NEWER)
    # It asks nothing, changes nothing here but this, and then fetches.
    again = fleet.typed_on(alone, "make install")
    assert re.findall(r"changed=(\d+)", again)[0] == str(_PULL_CHANGES)
    assert status(alone)["version"] == "0.4.0"
    assert alone.run("systemctl is-active kiosk-pull.timer").strip() == "active"
    alone.run("sed -i 's/kiosk_name: .*/kiosk_name: solo/' /etc/kiosk/answers.yml")
    in_an_older_copy = fleet.typed_on(alone, "make install")
    assert "failed=0" in in_an_older_copy
    assert status(alone)["version"] == "0.4.0"
    assert status(alone)["kiosk"] == "solo"
    fleet.typed_on(alone, "sudo systemctl start kiosk-pull")
    assert "the last one went well" in alone.run("kiosk doctor")


def test_a_display_shows_the_kiosk(fleet: Fleet) -> None:
    fleet.played("ansible-playbook screen.yml")
    again = fleet.played("ansible-playbook screen.yml")
    assert again.changed() == {}
    for kiosk in fleet.kiosks:
        assert is_serving(kiosk)
        told = kiosk.run(f"sh -c {shlex.quote(_FIRST_VIEW)}")
        assert json.loads(told)["headline"] == "Press the button and speak"
        refused = kiosk.run(
            "runuser -u nobody -g kiosk-read -- python3 -c "
            + shlex.quote(_PRESSES_OVER.format(socket="/run/kiosk-read/events.sock"))
        )
        assert "commands: status, subscribe, why" in refused


def test_nothing_that_was_said_and_no_secret_is_in_an_alert_or_a_journal(fleet: Fleet) -> None:
    guide = tomllib.loads((fleet.checkout / "kiosk/agent/guide.toml").read_text("utf-8"))
    greeting = str(guide["greeting"])
    told = json.dumps(fleet.webhook.alerts, ensure_ascii=False)
    for guest in fleet.guests.values():
        told += guest.run("journalctl --no-pager --output=export --all")
    for secret in (API_KEY, NEXT_API_KEY, "kdt_", greeting, greeting[:20]):
        assert secret not in told
    assert not re.search(r"stdin=[A-Z0-9]{4}-", told)  # a one-time code


def test_uninstalling_leaves_nothing(fleet: Fleet) -> None:
    alone = fleet.guests["alone"]
    with fleet.playing("ansible-playbook uninstall.yml -e really=yes"):
        fleet.typed_on(alone, "make uninstall")
        alone.run("rm -r /home/pi/voice-kiosk /root/work")
    for guest in fleet.guests.values():
        found = guest.run(
            "find / -xdev -iname '*kiosk*' -not -path '/proc/*' -not -path '/sys/*'"
            " -not -path '*/.ansible/*' -not -path '/var/log/*'"
        ).split()
        assert found == []
        assert guest.try_run("getent passwd kiosk kiosk-backend").stdout == ""
        assert guest.try_run("getent group kiosk kiosk-backend").stdout == ""
        assert guest.run("systemctl --failed --no-legend").strip() == ""
        assert guest.try_run("systemctl cat kiosk.service").returncode != 0


def test_every_command_of_the_pages_was_run(fleet: Fleet) -> None:
    for page in ("README.md", "deploy/README.md"):
        assert commands_of(fleet.checkout / page) - fleet.commands - RUN_ELSEWHERE == set(), page
