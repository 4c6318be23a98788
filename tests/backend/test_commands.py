import argparse
import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
import uvicorn

from kiosk.backend.books.conversations import VisitLease
from kiosk.backend.books.database import parse_url
from kiosk.backend.books.store import open_store
from kiosk.backend.cli.commands import add_commands, run
from kiosk.backend.server import _listen
from kiosk.backend.settings import PREFIX
from kiosk.backend.tokens import DeviceToken, OperatorToken
from kiosk.contract import EndVisit, Heartbeat, StartVisit
from kiosk.errors import ConfigError, KioskError, UnavailableError
from tests.backend.postgres import OWNER, SERVING, Cluster

from .conftest import AGENT_ID, API_KEY, FakeProvider, enrolled
from .test_heartbeat import BEAT

MAIN = """
import argparse, sys
from kiosk.backend.cli.commands import add_commands, run
parser = argparse.ArgumentParser()
add_commands(parser)
sys.exit(run(parser.parse_args(), lambda line: print(line, flush=True)))
"""


def command(*words: str) -> list[str]:
    """Run one command; returns what it said."""
    parser = argparse.ArgumentParser()
    add_commands(parser)
    said: list[str] = []
    assert run(parser.parse_args(words), said.append) == 0
    return said


def at(database: Path) -> str:
    return f"--database=sqlite:///{database}"


def test_importing_the_commands_imports_nothing_of_the_extra() -> None:
    heavy = "{'aiosqlite','alembic','fastapi','httpx2','pydantic','sqlalchemy','uvicorn'}"
    code = f"import sys, kiosk.backend.cli.commands; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_without_the_extra_the_pip_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alembic", None)
    with pytest.raises(UnavailableError, match=r"alembic: pip install 'voice-kiosk\[backend\]'"):
        command("init")


def test_init_makes_a_database_and_may_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    assert command("init", at(path)) == [f"the database {path} is ready"]
    assert command("init", at(path)) == [f"the database {path} is up to date already"]


def test_enroll_says_the_token_once_alone_on_the_last_line(database: Path) -> None:
    said = command("enroll", "lobby", "--site", "north", at(database))
    assert DeviceToken.parse(said[-1]) is not None
    assert "lobby" in said[0]
    assert said[-1] not in said[0]
    with pytest.raises(KioskError, match="enrolled already"):
        command("enroll", "lobby", at(database))


def test_enroll_writes_the_token_to_a_file_that_only_its_owner_reads(
    database: Path, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    said = command("enroll", "lobby", "--token-file", str(file), at(database))
    assert said == [f"enrolled lobby; its device token is in {file}"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text()
    assert DeviceToken.parse(token.removesuffix("\n")) is not None
    with pytest.raises(KioskError, match="enrolled already"):
        command("enroll", "lobby", "--token-file", str(file), at(database))
    assert file.read_text() == token
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_token_that_cannot_be_written_enrolls_nobody(database: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot write"):
        command("enroll", "lobby", "--token-file", str(tmp_path / "no" / "token"), at(database))
    with pytest.raises(KioskError, match="no kiosk named lobby"):
        command("revoke", "lobby", at(database))


def test_revoke_shuts_out_and_enroll_lets_in_again(database: Path) -> None:
    old = command("enroll", "lobby", at(database))[-1]
    assert command("revoke", "lobby", at(database))[0].startswith("revoked lobby")
    with pytest.raises(KioskError, match="revoked already"):
        command("revoke", "lobby", at(database))
    assert command("enroll", "lobby", at(database))[-1] != old


def test_a_pause_names_what_it_stops_and_must_find_it(database: Path) -> None:
    command("enroll", "lobby", "--site", "north", at(database))
    for words, what in (
        ((), "the whole fleet"),
        (("--site", "north"), "the site north"),
        (("--kiosk", "lobby"), "the kiosk lobby"),
    ):
        assert command("pause", *words, at(database)) == [f"paused {what}; visits under way go on"]
        with pytest.raises(KioskError, match=f"{what} is paused already"):
            command("pause", *words, at(database))
        assert command("resume", *words, at(database)) == [f"resumed {what}"]
        with pytest.raises(KioskError, match=f"{what} is not paused"):
            command("resume", *words, at(database))
    command("pause", at(database))
    said = command("pause", "--now", at(database))
    assert said == [
        "paused the whole fleet; visits under way end with their kiosk's next heartbeat"
    ]
    command("pause", "--kiosk", "lobby", at(database))
    left = "resumed the kiosk lobby; paused still: the whole fleet"
    assert command("resume", "--kiosk", "lobby", at(database)) == [left]
    with pytest.raises(KioskError, match="is not paused; paused still: the whole fleet"):
        command("resume", "--kiosk", "lobby", at(database))
    with pytest.raises(KioskError, match="no site named south"):
        command("pause", "--site", "south", at(database))


async def test_visits_are_listed_for_people_and_for_programs(database: Path) -> None:
    def listed(*words: str) -> list[str]:
        return command("visits", *words, at(database))

    await asyncio.to_thread(command, "enroll", "attic", at(database))
    assert await asyncio.to_thread(listed) == ["no visits yet"]
    now = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
    async with open_store(parse_url(f"sqlite:///{database}")) as store:
        kiosk = await enrolled(store)
        lease = VisitLease("lease-1", "conv_1", now, now + timedelta(seconds=900))
        leased = await store.ledger.lease(kiosk, lease)
        assert leased is not None
        visit_id = leased.visit_id
        await store.ledger.start(kiosk, visit_id, StartVisit(press_id="press-1"), now)
        end = EndVisit(press_id="press-1", outcome="hung_up", duration_s=12.4)
        await store.ledger.end(kiosk, visit_id, end, now)
    [line] = await asyncio.to_thread(listed)
    assert line.split() == [
        "2026-11-21",
        "12:00:30",
        "lobby",
        "closed",
        "12",
        "s",
        "hung_up",
        "conv_1",
    ]
    [line] = await asyncio.to_thread(listed, "--kiosk", "lobby", "--json")
    assert json.loads(line)["press_id"] == "press-1"
    assert await asyncio.to_thread(listed, "--kiosk", "attic") == ["no visits yet"]
    with pytest.raises(KioskError, match="no kiosk named cellar"):
        await asyncio.to_thread(listed, "--kiosk", "cellar")
    for count in ("0", "x", "10001"):
        with pytest.raises(SystemExit):
            await asyncio.to_thread(listed, "--limit", count)


@pytest.mark.parametrize("name", ["", "-x", "two words", "x" * 65, "a\nb", "ä"])
def test_a_bad_name_is_a_usage_error(database: Path, name: str) -> None:
    with pytest.raises(SystemExit) as caught:
        command("revoke", at(database), "--", name)
    assert caught.value.code == 2


@pytest.mark.parametrize("words", [("enroll", "lobby"), ("revoke", "lobby")])
def test_without_a_migrated_database_init_is_the_next_step(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError, match="kiosk backend init"):
        command(*words, at(tmp_path / "absent.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kiosk.db"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(UnavailableError, match=r"kiosk\.db: file is not a database"):
        command("init", at(path))
    with pytest.raises(UnavailableError, match="unable to open"):
        command("init", at(tmp_path / "no" / "kiosk.db"))


def test_serve_names_what_is_missing_before_it_listens(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="KIOSK_BACKEND_AGENT_ID"):
        command("serve", at(database))
    with pytest.raises(ConfigError, match="KIOSK_BACKEND_API_KEY_FILE"):
        command("serve", at(database), "--agent-id", AGENT_ID)
    (tmp_path / "key").write_text(API_KEY)
    monkeypatch.setenv("KIOSK_BACKEND_API_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigError, match="kiosk backend init"):
        command("serve", at(tmp_path / "absent.db"), "--agent-id", AGENT_ID)
    with pytest.raises(ConfigError, match="--port"):
        command("serve", at(database), "--agent-id", AGENT_ID, "--port", "70000")


@contextmanager
def provider_on_loopback(fake: FakeProvider) -> Iterator[str]:
    """The fake provider on a real port, in a thread of its own."""
    server = uvicorn.Server(
        uvicorn.Config(fake.app(), port=0, lifespan="off", log_level="error", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def served(database: Path, provider_url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`serve` as a process of its own, and the URL it says it listens on."""
    key = database.parent / "elevenlabs-api-key"
    key.write_text(API_KEY)
    options = ["serve", at(database), "--port=0", f"--provider-url={provider_url}"]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", MAIN, *options, "--agent-id", AGENT_ID],
        env={**os.environ, "CREDENTIALS_DIRECTORY": str(database.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("listening on "), said
        yield process, said.removeprefix("listening on ").strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_real_server_grants_a_visit_and_stops_cleanly(
    database: Path, fake: FakeProvider, number: signal.Signals
) -> None:
    token = command("enroll", "lobby", at(database))[-1]
    with (
        provider_on_loopback(fake) as provider_url,
        served(database, provider_url) as (
            process,
            url,
        ),
    ):
        # The connection stays open over the signal, as a kiosk's would.
        with httpx2.Client(base_url=url) as client:
            assert client.get("/healthz").json() == {"status": "ok"}
            answer = client.post("/v1/visits", headers={"Authorization": f"Bearer {token}"})
            assert "server" not in answer.headers
            assert answer.json()["signed_url"] == fake.minted[0]
            began_s = time.monotonic()
            process.send_signal(number)
            _, stderr = process.communicate(timeout=5)
        assert time.monotonic() - began_s < 2
    assert process.returncode == 0, stderr
    lines = stderr.splitlines()
    assert [line.split()[:2] for line in lines] == [["INFO", "kiosk.backend.web.requests"]] * 2
    assert token not in stderr
    assert API_KEY not in stderr


def test_a_stop_while_the_provider_is_silent_is_still_clean_and_answered(database: Path) -> None:
    token = command("enroll", "lobby", at(database))[-1]
    answers: list[httpx2.Response] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,  # accepts, and says nothing
        served(database, f"http://127.0.0.1:{mute.getsockname()[1]}") as (process, url),
    ):
        asking = threading.Thread(
            target=lambda: answers.append(
                httpx2.post(f"{url}/v1/visits", headers={"Authorization": f"Bearer {token}"})
            )
        )
        asking.start()
        connection, _ = mute.accept()
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=5)
        took_s = time.monotonic() - began_s
        asking.join()
        connection.close()
    assert process.returncode == 0
    assert took_s < 2
    assert answers[0].status_code == 503
    assert json.loads(answers[0].text)["type"] == "urn:kiosk:problem:provider-unreachable"
    assert "Traceback" not in stderr
    assert "Cancel" not in stderr


def test_a_port_that_is_taken_is_named(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (database.parent / "elevenlabs-api-key").write_text(API_KEY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(database.parent))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"port {port}: Address already in use"):
            command("serve", at(database), "--agent-id", AGENT_ID, "--port", str(port))


def test_small_answers_leave_at_once() -> None:
    # Nagle's algorithm would hold the body back until the headers are acknowledged: 40 ms.
    with (
        _listen("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_limits_are_shown_and_changed(database: Path) -> None:
    command("enroll", "lobby", "--site", "north", at(database))
    assert command("limit", at(database)) == [
        "fleet            20 visits at the same time, 300 visits begun in a minute",
        "each kiosk       240 minutes of conversation a day, 4 visits begun in a minute",
    ]
    said = command("limit", "--site", "north", "--minutes-per-day", "60", at(database))
    assert said == ["site north       60 minutes of conversation a day"]
    said = command("limit", "--fleet", "--at-once", "none", at(database))
    assert said == ["fleet            300 visits begun in a minute"]
    assert command("limit", "--kiosk", "lobby", "--minutes-per-day", "0", at(database))[0] == (
        "kiosk lobby      0 minutes of conversation a day, 4 visits begun in a minute"
    )
    said = command("limit", "--site", "north", "--minutes-per-visit", "30", at(database))
    assert said == [
        "site north       60 minutes of conversation a day, 30 minutes that a visit may last"
    ]
    for words, why in (
        (("--at-once", "3"), "whose limit"),
        (("--fleet",), "which limit"),
        (("--fleet", "--minutes-per-day", "9"), "nothing from 1 to 9"),
        (("--fleet", "--minutes-per-visit", "121"), "--minutes-per-visit: from 1 to 120"),
        (("--fleet", "--minutes-per-visit", "0"), "--minutes-per-visit: from 1 to 120"),
        (
            ("--fleet", "--minutes-per-visit", "30", "--minutes-per-day", "29"),
            "nothing from 1 to 29",
        ),
        (("--kiosk", "cellar", "--at-once", "3"), "no kiosk named cellar"),
    ):
        with pytest.raises(KioskError, match=why):
            command("limit", *words, at(database))


def test_a_site_has_a_time_zone_and_hours(database: Path) -> None:
    hours = "mon-fri 9:00-18:00"
    with pytest.raises(ConfigError, match=r"--hours: '9:00' is not a time of day"):
        command("site", "north", "--hours", hours, at(database))
    with pytest.raises(ConfigError, match="--time-zone: 'Berlin' is not one"):
        command("site", "north", "--time-zone", "Berlin", at(database))
    options = ("--hours", "mon-fri 09:00-18:00", "--time-zone", "Europe/Berlin")
    assert command("site", "north", *options, at(database)) == ["the site north is set up"]
    assert command("site", at(database)) == [
        "(no site)        always open, the fleet's time zone",
        "north            mon-fri 09:00-18:00, Europe/Berlin",
    ]


def test_a_tenant_is_made_once_and_must_be_there(database: Path) -> None:
    with pytest.raises(KioskError, match="no tenant named aquarium: `kiosk backend tenant"):
        command("enroll", "lobby", "--tenant", "aquarium", at(database))
    assert command("tenant", "aquarium", at(database)) == ["the tenant aquarium is made"]
    assert command("tenant", "aquarium", at(database)) == ["the tenant aquarium was there already"]
    command("enroll", "lobby", at(database))
    command("enroll", "lobby", "--tenant", "aquarium", at(database))
    command("revoke", "lobby", "--tenant", "aquarium", at(database))
    with pytest.raises(KioskError, match="enrolled already"):
        command("enroll", "lobby", at(database))


def test_a_postgresql_that_is_away_is_named(tmp_path: Path) -> None:
    url = f"postgresql://kiosk@/kiosk?host={tmp_path}"
    with pytest.raises(UnavailableError, match=r"postgresql://kiosk@/kiosk.*does not answer"):
        command("visits", f"--database={url}")


def test_on_postgresql_init_lets_the_serving_role_serve(postgres: Cluster) -> None:
    postgres.psql("postgres", f"create database by_command owner {OWNER}")
    owner = f"--database={postgres.url('by_command', OWNER)}"
    serving = f"--database={postgres.url('by_command', SERVING)}"
    with pytest.raises(ConfigError, match="kiosk backend init"):
        command("visits", serving)
    said = command("init", owner, "--serving-role", SERVING)
    assert said[0].endswith(" is ready")
    command("enroll", "lobby", serving)
    assert command("visits", serving) == ["no visits yet"]


def test_a_list_of_kiosks_is_enrolled_and_may_be_given_again(
    database: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "kiosks.csv"
    listed.write_text("# name,site\nlobby, north\nattic,north\n\ncellar\n")
    words = ("enroll", "--list", str(listed), "--token-dir", str(tmp_path), at(database))
    assert command(*words)[0].startswith("enrolled 3;")
    assert DeviceToken.parse((tmp_path / "attic.token").read_text().strip()) is not None
    before = (tmp_path / "lobby.token").read_text()
    assert command(*words)[0].startswith("enrolled 0;")
    assert (tmp_path / "lobby.token").read_text() == before
    lines = command("kiosks", at(database))
    assert [line.split()[:2] for line in lines] == [
        ["attic", "north"],
        ["cellar", "never_seen"],
        ["lobby", "north"],
    ]
    listed.write_text("lobby,north\ntwo words,north\n")
    with pytest.raises(ConfigError, match=r"kiosks.csv, line 2: 'two words' is not a name"):
        command(*words)
    with pytest.raises(ConfigError, match="a NAME is missing"):
        command("enroll", at(database))


def test_a_one_time_code_is_said(database: Path) -> None:
    said = command("enroll", "lobby", "--code", at(database))
    assert len(said[-1]) == 19
    with pytest.raises(KioskError, match="no kiosk named lobby"):
        command("revoke", "lobby", at(database))


def test_operators_come_and_go_and_it_is_written_down(database: Path) -> None:
    said = command("operator", "add", "ada", "--role", "admin", at(database))
    assert OperatorToken.parse(said[-1]) is not None
    with pytest.raises(KioskError, match="an operator already"):
        command("operator", "add", "ada", at(database))
    command("operator", "revoke", "ada", at(database))
    with pytest.raises(KioskError, match="revoked already"):
        command("operator", "revoke", "ada", at(database))
    command("enroll", "lobby", "--site", "north", at(database))
    command("pause", at(database))
    command("resume", at(database))
    command("limit", "--fleet", "--at-once", "3", at(database))
    command("site", "north", "--hours", "never", at(database))
    command("fleet", "--policy", "warm", at(database))
    command("revoke", "lobby", at(database))
    lines = [line.split(maxsplit=4)[4] for line in command("audit", at(database))]
    assert [" ".join(line.split()) for line in reversed(lines)] == [
        "operator_added ada admin",
        "operator_revoked ada",
        "enrolled lobby",
        "paused fleet",
        "resumed fleet",
        "limited fleet : at_once=3",
        "set site north: hours=never",
        "told fleet: lease_policy=warm",
        "revoked lobby",
    ]
    for words in (("audit", "--limit", "-1"), ("purge", "--older-than", "9" * 20)):
        with pytest.raises(SystemExit):
            command(*words, at(database))


def test_a_character_is_assigned_and_must_be_there(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("enroll", "lobby", "--site", "north", at(database))
    with pytest.raises(ConfigError, match="KIOSK_BACKEND_CHARACTERS_DIR"):
        command("character", "captain", "--site", "north", at(database))
    (tmp_path / "captain.toml").write_text('first_message = "Ahoy at {kiosk}!"\n')
    monkeypatch.setenv(PREFIX + "CHARACTERS_DIR", str(tmp_path))
    said = command("character", "captain", "--site", "north", at(database))
    assert said == ["from the next lease on, visitors at the site north talk with captain"]
    command("character", "none", "--kiosk", "lobby", at(database))
    with pytest.raises(ConfigError, match=r"no character named nobody in .*; there are: captain"):
        command("character", "nobody", "--kiosk", "lobby", at(database))


def test_the_fleet_is_told_and_the_purge_counts(database: Path) -> None:
    assert command("fleet", "--policy", "open_hours", at(database)) == [
        "kiosks are told with their next heartbeat"
    ]
    with pytest.raises(ConfigError, match="what to tell"):
        command("fleet", at(database))
    assert command("purge", "--older-than", "30", at(database)) == ["forgot 0 transcript(s)"]


def test_the_contract_can_be_had_without_a_database() -> None:
    contract = json.loads("\n".join(command("openapi")))
    assert contract["openapi"].startswith("3.1")
    assert "/v1/visits/{visit_id}/start" in contract["paths"]


def heard(database: Path, versions: dict[str, str | None]) -> None:
    """Kiosks that run this; None was never heard of."""

    async def beat() -> None:
        async with open_store(parse_url(f"sqlite:///{database}")) as store:
            for name, version in versions.items():
                kiosk = await enrolled(store, name)
                if version is not None:
                    said = Heartbeat.model_validate({**BEAT, "version": version})
                    store.liveness.beat(kiosk, said, datetime.now(UTC))
            await store.liveness.flush()

    asyncio.run(beat())


def test_which_kiosks_run_another_version_than_they_should_is_shown(database: Path) -> None:
    heard(database, {"attic": "1.4.0", "gone": "1.2.0", "hall": None, "lobby": "1.3.0"})
    command("revoke", "gone", at(database))
    with pytest.raises(ConfigError, match="fleet --target-version"):
        command("kiosks", "--differing", at(database))
    told, count, line = command("fleet", "--target-version", "1.4.0", at(database))
    assert told == "kiosks are told with their next heartbeat"
    assert count == "1 of 4 kiosks run another version than 1.4.0"
    assert line.startswith("lobby ")
    assert line.endswith("should run 1.4.0")
    marked = [line for line in command("kiosks", at(database)) if "should run" in line]
    assert marked == [line]
    with pytest.raises(KioskError, match=r"^1 of 4 kiosks run another version than 1\.4\.0$"):
        command("kiosks", "--differing", at(database))
    lines = [json.loads(line) for line in command("kiosks", "--json", at(database))]
    assert {(line["name"], line["version"], line["target_version"]) for line in lines} == {
        ("attic", "1.4.0", "1.4.0"),
        ("gone", "1.2.0", "1.4.0"),
        ("hall", None, "1.4.0"),
        ("lobby", "1.3.0", "1.4.0"),
    }
    assert command("fleet", "--target-version", "none", at(database)) == [told]
    assert not any("should run" in line for line in command("kiosks", at(database)))


def test_a_fleet_that_runs_what_it_should_is_no_failure(database: Path) -> None:
    heard(database, {"lobby": "1.4.0"})
    said = command("fleet", "--target-version", "1.4.0", at(database))
    assert said[1:] == ["0 of 1 kiosks run another version than 1.4.0"]
    assert command("kiosks", "--differing", at(database)) == []
