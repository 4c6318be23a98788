"""What stands in deploy/backend/ and the nightly backup: each file is used, not only read."""

import asyncio
import os
import re
import shlex
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml  # type: ignore[import-untyped]  # published without annotations
from fastapi import FastAPI

from kiosk.backend.books.backup import back_up, backups, restore
from kiosk.backend.books.database import parse_url
from kiosk.backend.books.migrate import is_current, require_serving_role, upgrade
from kiosk.backend.books.store import open_store
from kiosk.backend.server import server_config
from kiosk.backend.settings import PREFIX, BackendSettings
from kiosk.backend.web.webhook_routes import MAX_RECORDING_BYTES
from kiosk.cli import _parser
from kiosk.errors import ConfigError, UnavailableError
from tests.backend.postgres import OWNER, SERVING, Cluster, cluster, programs

from .conftest import enrolled
from .test_commands import command

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "deploy" / "backend"
READER = "kiosk_reader"
NOW = datetime(2026, 11, 21, 3, 30, tzinfo=UTC)


# --- roles.sql ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server in which roles.sql made the roles, with passwords, and nobody else."""
    if programs() is None:
        pytest.skip("no PostgreSQL here: Debian's package `postgresql` has it")
    passwords = tmp_path_factory.mktemp("passwords")
    for name in (OWNER, SERVING, READER):
        (passwords / name).write_text(f"secret of '{name}'")
    with cluster() as made:
        for role in (OWNER, SERVING):
            made.psql("postgres", f"drop role {role}")
        subprocess.run(
            [
                made.programs / "psql", "--quiet", "--no-psqlrc", f"--host={made.directory}",
                f"--username={made.superuser}", f"--file={PACKAGING / 'roles.sql'}", "postgres",
            ],
            env={**os.environ, "KIOSK_PASSWORDS": str(passwords)},
            check=True,
            timeout=30,
        )  # fmt: skip
        command("init", f"--database={made.url('kiosk', OWNER)}", "--serving-role", SERVING)
        yield made


def test_the_roles_fit_init_and_serve(roles: Cluster) -> None:
    assert is_current(parse_url(roles.url("kiosk", OWNER)))
    require_serving_role(parse_url(roles.url("kiosk", SERVING)))
    again = command("init", f"--database={roles.url('kiosk', OWNER)}", "--serving-role", SERVING)
    assert "up to date" in again[0]


def test_every_role_has_the_password_of_its_file(roles: Cluster) -> None:
    query = "select count(*) from pg_authid where rolname like 'kiosk_%' and rolpassword like "
    assert roles.psql("postgres", query + "'SCRAM-SHA-256$%'") == "3"


def test_the_serving_role_makes_no_table_and_nobody_else_comes_in(roles: Cluster) -> None:
    with pytest.raises(AssertionError, match="permission denied"):
        roles.psql("kiosk", "create table mine (a int)", SERVING)
    roles.psql("postgres", "create role stranger login")
    with pytest.raises(AssertionError, match="permission denied for database"):
        roles.psql("kiosk", "select 1", "stranger")


async def _two_tenants(url: sa.URL) -> None:
    async with open_store(url) as store:
        await store.registry.add_tenant("aquarium", None, NOW)
        for tenant in ("default", "aquarium"):
            await enrolled(store, tenant=tenant)


def test_the_reader_reads_every_tenant_and_writes_nothing(roles: Cluster) -> None:
    asyncio.run(_two_tenants(parse_url(roles.url("kiosk"))))
    assert roles.psql("kiosk", "select count(*) from kiosks", READER) == "2"
    for before in ("", "set default_transaction_read_only = off; "):
        with pytest.raises(AssertionError, match=r"read-only transaction|permission denied"):
            roles.psql("kiosk", before + "delete from kiosks", READER)
    with pytest.raises(ConfigError, match="may not use"):
        require_serving_role(parse_url(roles.url("kiosk", READER)))


def test_a_backup_of_postgresql_brings_every_tenant_back(roles: Cluster, tmp_path: Path) -> None:
    [said] = command(
        "backup", f"--database={roles.url('kiosk')}", "--backup-role", READER,
        "--backup-dir", str(tmp_path),
    )  # fmt: skip
    before = roles.psql("kiosk", "select tenant, name from kiosks order by 1", READER)
    assert before
    roles.psql("kiosk", "delete from kiosk_credentials; delete from kiosks; drop table pauses")
    owner = f"--database={roles.url('kiosk', OWNER)}"
    command("restore", said.split()[0], owner)
    with pytest.raises(ConfigError, match="may not use"):
        require_serving_role(parse_url(roles.url("kiosk")))
    command("init", owner, "--serving-role", SERVING)
    require_serving_role(parse_url(roles.url("kiosk")))
    assert roles.psql("kiosk", "select tenant, name from kiosks order by 1", READER) == before
    # And the tenants are apart again.
    assert roles.psql("kiosk", "select count(*) from kiosks", SERVING) == "0"
    assert roles.psql("kiosk", "select count(*) from kiosks", OWNER) == "0"


def test_a_backup_by_a_role_that_sees_one_tenant_fails(roles: Cluster, tmp_path: Path) -> None:
    for role in (SERVING, OWNER):
        with pytest.raises(UnavailableError, match="row-level security"):
            back_up(parse_url(roles.url("kiosk", role)), tmp_path, 3, NOW)
    assert list(tmp_path.iterdir()) == []


# --- backups of a file ----------------------------------------------------------------------------


def _kiosks(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [name for (name,) in db.execute("select name from kiosks order by name")]


async def test_a_copy_made_while_the_server_serves_brings_everything_back(
    database: Path, tmp_path: Path
) -> None:
    url = parse_url(f"sqlite:///{database}")
    async with open_store(url) as store:
        await enrolled(store, "lobby")
        copy = back_up(url, tmp_path / "copies", 3, NOW)
        await enrolled(store, "attic")
    assert list(copy.parent.iterdir()) == [copy], "one file, nothing beside it"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    restore(url, copy)
    assert is_current(url)
    assert _kiosks(database) == ["lobby"]


def test_a_copy_becomes_a_database_where_there_is_none(database: Path, tmp_path: Path) -> None:
    copy = back_up(parse_url(f"sqlite:///{database}"), tmp_path, 3, NOW)
    new = parse_url(f"sqlite:///{tmp_path / 'new.db'}")
    restore(new, copy)
    assert is_current(new)


def test_the_newest_copies_stay_and_other_files_too(database: Path, tmp_path: Path) -> None:
    url, copies = parse_url(f"sqlite:///{database}"), tmp_path / "copies"
    made = [back_up(url, copies, 3, NOW + timedelta(days=day)) for day in range(5)]
    (copies / "notes.txt").write_text("mine")
    made.append(back_up(url, copies, 3, NOW + timedelta(days=5)))
    assert backups(copies) == made[:2:-1]
    assert (copies / "notes.txt").exists()


def test_nothing_is_lost_for_a_copy_that_cannot_be_written(database: Path, tmp_path: Path) -> None:
    copy = back_up(parse_url(f"sqlite:///{database}"), tmp_path, 1, NOW)
    absent = parse_url(f"sqlite:///{tmp_path / 'absent.db'}")
    with pytest.raises(ConfigError, match="no database"):
        back_up(absent, tmp_path, 1, NOW)
    assert not (tmp_path / "absent.db").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot write a backup"):
        back_up(parse_url(f"sqlite:///{database}"), tmp_path / "file", 1, NOW)
    assert backups(tmp_path) == [copy]


@pytest.mark.parametrize("content", [b"", b"no database" * 400])
def test_what_is_no_copy_is_not_put_back(database: Path, tmp_path: Path, content: bytes) -> None:
    url = parse_url(f"sqlite:///{database}")
    wrong = tmp_path / "wrong.sqlite"
    wrong.write_bytes(content)
    with pytest.raises(UnavailableError, match="cannot be put back"):
        restore(url, wrong)
    assert is_current(url)


def test_a_copy_of_an_older_version_is_migrated_by_init(tmp_path: Path) -> None:
    old = parse_url(f"sqlite:///{tmp_path / 'old.db'}")
    upgrade(old, "0003")
    copy = back_up(old, tmp_path / "copies", 1, NOW)
    restore(old, copy)
    assert not is_current(old)
    command("init", f"--database=sqlite:///{tmp_path / 'old.db'}")
    assert is_current(old)


# --- compose.yml and Containerfile ----------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((PACKAGING / "compose.yml").read_text())
    return loaded


def test_every_container_is_held_short(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"mem_limit", "cpus", "pids_limit", "logging"} <= set(service), name
        assert "privileged" not in service, name
        if name != "database":
            assert service["user"] == "10001:10001", name


def test_the_database_is_reached_from_inside_only(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert compose["networks"]["inside"]["internal"] is True
    assert [name for name in services if "ports" in services[name]] == ["backend"]
    assert all(port.startswith("127.0.0.1:") for port in services["backend"]["ports"])
    reaching_out = {name for name in services if "outside" in services[name]["networks"]}
    assert reaching_out == {"backend", "operator"}


def test_secrets_are_files_and_each_container_has_its_own_only(compose: dict[str, Any]) -> None:
    services, secrets = compose["services"], compose["secrets"]
    assert all(set(secret) == {"file"} for secret in secrets.values())
    for name, service in services.items():
        assert set(service["secrets"]) <= set(secrets), name
        for variable, value in service.get("environment", {}).items():
            if str(value).startswith("/run/secrets/"):
                assert Path(value).name in service["secrets"], (name, variable)
    with_key = {name for name in services if "api-key" in services[name]["secrets"]}
    assert with_key == {"backend", "operator"}
    assert not {"pgpass-owner", "superuser-password"} & set(services["backend"]["secrets"])


def test_the_containers_say_what_the_program_understands(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable in service.get("environment", {}):
            if variable.startswith(PREFIX):
                assert variable.removeprefix(PREFIX).lower() in BackendSettings.model_fields, name
        if name in ("init", "backup"):
            _parser().parse_args(["backend", *service["command"]])
    _parser().parse_args([*compose["services"]["restore"]["entrypoint"][1:], "FILE"])
    for line in re.findall(r"^ *# *`?(.*)", (PACKAGING / "compose.yml").read_text(), re.MULTILINE):
        for words in re.findall(r"run --rm operator ([^`]+)", line):
            _parser().parse_args(["backend", *words.split()])


def test_health_is_that_of_the_database_too(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert "/readyz" in str(services["backend"]["healthcheck"]["test"])
    assert services["backend"]["depends_on"]["init"] == {
        "condition": "service_completed_successfully"
    }
    assert "/readyz" in (PACKAGING / "Containerfile").read_text()


def test_the_image_is_made_from_the_lock_and_runs_as_nobody() -> None:
    text = (PACKAGING / "Containerfile").read_text()
    assert "--require-hashes --requirement requirements-backend.txt" in text
    final = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert not re.search(r"\bgcc\b|pip install", final)
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
    let_in = set(
        re.findall(r"^!(.+)$", (PACKAGING / "Containerfile.dockerignore").read_text(), re.M)
    )
    assert {name for line in copied for name in line.split()} == let_in
    assert all((ROOT / name).exists() for name in let_in)


def test_the_web_server_lets_a_webhook_through() -> None:
    [size] = re.findall(r"max_size (\d+)MiB", (PACKAGING / "Caddyfile").read_text())
    assert int(size) * 2**20 >= MAX_RECORDING_BYTES


def test_the_web_server_lets_go_of_an_idle_connection_before_the_backend_does() -> None:
    [idle] = re.findall(r"^\s*keepalive (\d+)m$", (PACKAGING / "Caddyfile").read_text(), re.M)
    assert int(idle) * 60 < server_config(FastAPI()).timeout_keep_alive


@pytest.mark.skipif(os.geteuid() != 0, reason="it gives files to the containers' users: as root")
def test_secrets_are_made_once(tmp_path: Path, compose: dict[str, Any]) -> None:
    script = Path(shutil.copy2(PACKAGING / "make-secrets", tmp_path))
    subprocess.run([script], check=True, timeout=20)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(made) == set(compose["secrets"]) - {"api-key"}
    assert len({made[name] for name in ("kiosk_owner", "kiosk_serving", "kiosk_reader")}) == 3
    assert made["pgpass-serving"] == f"database:*:*:kiosk_serving:{made['kiosk_serving']}\n"
    for path in (tmp_path / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_uid == (10001 if path.name.startswith("pgpass") else 999)
    subprocess.run([script], check=True, timeout=20)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made


# --- the unit -------------------------------------------------------------------------------------


def test_the_unit_says_what_the_program_understands() -> None:
    unit = (ROOT / "systemd/kiosk-backend-backup.service").read_text()
    [line] = re.findall(r"^ExecStart=\S+/kiosk (.*)$", unit, re.MULTILINE)
    chosen = _parser().parse_args(shlex.split(line))
    assert f"/var/lib/{chosen.backup_dir.name}" == str(chosen.backup_dir)
    # The first is the database's own, as the settings take it.
    assert f"StateDirectory=kiosk-backend {chosen.backup_dir.name}\n" in unit


def test_idle_connections_do_not_use_up_the_files_and_do_not_fill_the_log(
    compose: dict[str, Any],
) -> None:
    unit = (ROOT / "systemd/kiosk-backend.service").read_text()
    [files] = re.findall(r"^LimitNOFILE=(\d+)$", unit, re.MULTILINE)
    assert int(files) >= 65_536  # systemd's own is 1,024, and so is a container's
    assert compose["services"]["backend"]["ulimits"] == {"nofile": int(files)}
    assert server_config(FastAPI()).backlog <= 128
