"""On PostgreSQL the database itself keeps tenants apart, whatever a query forgets."""

import asyncio
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from kiosk.backend.books.database import parse_url
from kiosk.backend.books.migrate import require_serving_role
from kiosk.backend.books.rules import Scope
from kiosk.backend.books.schema import metadata
from kiosk.backend.books.store import open_store
from kiosk.backend.tokens import DeviceToken
from kiosk.errors import ConfigError
from tests.backend.postgres import OWNER, SERVING, Cluster

from .conftest import Place, copy, enrolled
from .test_limits import begin

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OF_ALL = ("tenant_roles",)  # which role is whose


@pytest.fixture
async def shared(postgres: Cluster) -> Place:
    """A database with two tenants, each with a kiosk of the same name and a visit."""
    place = copy(postgres)
    async with open_store(place.url) as store:
        await store.registry.add_tenant("aquarium", None, NOW)
        for tenant in ("default", "aquarium"):
            kiosk = await enrolled(store, tenant=tenant)
            assert isinstance(await begin(store, kiosk, "v1", NOW), str)
            await store.rules.pause(tenant, Scope.KIOSK, "x", NOW)
    return place


def database(place: Place) -> str:
    assert place.url.database is not None
    return place.url.database


def counts(postgres: Cluster, name: str, role: str, tenant: str | None = None) -> dict[str, int]:
    entered = "" if tenant is None else f"set kiosk.tenant = '{tenant}'; "
    return {
        table: int(postgres.psql(name, f"{entered}select count(*) from {table}", role))
        for table in metadata.tables
        if table not in OF_ALL
    }


async def test_every_table_is_protected(postgres: Cluster, shared: Place) -> None:
    query = (
        "select relname from pg_class where relkind = 'r' "
        "and relnamespace = 'public'::regnamespace and not (relrowsecurity and relforcerowsecurity)"
    )
    unprotected = postgres.psql(database(shared), query).split()
    assert set(unprotected) == {*OF_ALL, "alembic_version"}


async def test_a_tenants_own_role_sees_its_rows_whatever_it_sets(
    postgres: Cluster, shared: Place
) -> None:
    name = database(shared)
    role = f"own_{name}"
    postgres.psql(name, f"create role {role} login")
    postgres.psql(name, f"grant select, update, insert on all tables in schema public to {role}")
    postgres.psql(name, f"insert into tenant_roles values ('{role}', 'aquarium')")
    seen = counts(postgres, name, role)
    assert seen["kiosks"] == seen["visits"] == seen["pauses"] == 1
    assert seen["tenants"] == 1
    assert counts(postgres, name, role, "default") == seen
    assert postgres.psql(name, "select distinct tenant from kiosks", role) == "aquarium"
    changed = "update kiosks set site = '' where tenant = 'default' returning 1"
    assert postgres.psql(name, changed, role) == ""
    with pytest.raises(AssertionError, match="row-level security"):
        postgres.psql(name, "insert into sites values ('default', 'x')", role)
    # Nor may it look a credential up, as a server that does not know the tenant yet.
    ids = postgres.psql(name, "select id from kiosk_credentials where tenant = 'default'")
    look = f"set kiosk.credential = '{ids}'; select count(*) from kiosk_credentials"
    assert postgres.psql(name, look + " where tenant = 'default'", role) == "0"


@pytest.mark.parametrize("role", [OWNER, SERVING])
async def test_a_server_sees_nothing_before_it_enters_a_tenant(
    postgres: Cluster, shared: Place, role: str
) -> None:
    name = database(shared)
    seen = counts(postgres, name, role)
    assert seen.pop("tenants") == 2, "whom there is may be listed"
    assert set(seen.values()) == {0}
    entered = counts(postgres, name, role, "aquarium")
    assert entered["kiosks"] == entered["visits"] == 1
    assert set(counts(postgres, name, role, "nobody").values()) == {0, 2}


async def test_a_query_that_forgets_its_tenant_gets_its_own_rows(shared: Place) -> None:
    async with (
        open_store(shared.url) as store,
        store.database.transaction("aquarium") as db,
    ):
        query = "select tenant from kiosks union all select tenant from visits"
        rows = (await db.execute(sa.text(query))).all()
    assert [row.tenant for row in rows] == ["aquarium"] * 2


async def test_a_connection_forgets_its_tenant(shared: Place) -> None:
    async with open_store(shared.url) as store:
        async with store.database.transaction("aquarium") as db:
            await db.execute(sa.text("select count(*) from kiosks"))
        async with store.database.anywhere() as db:  # the pool's only connection
            assert (await db.execute(sa.text("select count(*) from kiosks"))).scalar_one() == 0


async def test_one_credential_opens_one_tenant(shared: Place) -> None:
    token = DeviceToken.new()
    async with open_store(shared.url) as store:
        await store.registry.enroll("aquarium", "tank", "", token, NOW)
        kiosk = await store.registry.authenticate(token, NOW)
        assert kiosk is not None
        assert (kiosk.tenant, kiosk.name) == ("aquarium", "tank")
        async with store.database.introduction(token.credential_id) as db:
            rows = (await db.execute(sa.text("select id from kiosk_credentials"))).all()
        assert [row.id for row in rows] == [token.credential_id]


def test_the_server_refuses_a_role_that_gets_around(postgres: Cluster) -> None:
    require_serving_role(parse_url(postgres.url("template", SERVING)))
    require_serving_role(parse_url(postgres.url("template", OWNER)))
    with pytest.raises(ConfigError, match="SUPERUSER"):
        require_serving_role(parse_url(postgres.url("template", postgres.superuser)))


def test_the_serving_role_changes_no_table_and_no_tenants_role(postgres: Cluster) -> None:
    for statement in (
        "alter table kiosks no force row level security",
        "drop policy own_tenant on kiosks",
        "insert into tenant_roles values ('me', 'aquarium')",
        "update alembic_version set version_num = '0001'",
    ):
        with pytest.raises(AssertionError, match=r"must be owner|permission denied"):
            postgres.psql("template", statement, SERVING)


async def test_a_server_that_was_restarted_is_not_noticed(postgres: Cluster, shared: Place) -> None:
    async with open_store(shared.url) as store:
        assert await store.registry.tenants()
        name = database(shared)
        ended = (
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            f"where datname = '{name}' and pid != pg_backend_pid()"
        )
        assert int(postgres.psql(name, ended)) > 0
        await asyncio.sleep(0.1)
        assert await store.registry.tenants() == ["aquarium", "default"]


async def test_the_server_refuses_a_role_that_was_given_nothing(postgres: Cluster) -> None:
    place = copy(postgres)
    name = database(place)
    postgres.psql(name, f"revoke all on liveness from {SERVING}")
    with pytest.raises(ConfigError, match=f"may not use the table liveness: .* {SERVING}"):
        await asyncio.to_thread(require_serving_role, place.url)


async def test_what_was_done_stays_written_down(postgres: Cluster) -> None:
    with pytest.raises(AssertionError, match="permission denied"):
        postgres.psql("template", "delete from audit_log", SERVING)


async def test_a_server_that_died_in_the_middle_of_a_press_lets_go(postgres: Cluster) -> None:
    place = copy(postgres)
    async with open_store(place.url) as store, store.database.anywhere() as db:
        rows = await db.execute(
            sa.text("select name, setting from pg_settings where name in :names").bindparams(
                sa.bindparam("names", ["idle_in_transaction_session_timeout"], expanding=True)
            )
        )
        assert rows.all() == [("idle_in_transaction_session_timeout", "5000")]
