"""Every row belongs to a tenant; sites and limits become rows."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from kiosk.backend.books.migrations.row_level_security import (
    introduce,
    is_postgresql,
    list_openly,
    protect,
)

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NAME = sa.String(64)
# Limits that a fleet begins with, so that one that nobody has thought about is limited too.
_FIRST_LIMITS = (
    {"scope": "fleet", "name": "", "at_once": 20, "presses_per_minute": 300},
    {"scope": "kiosk", "name": "", "minutes_per_day": 240, "presses_per_minute": 4},
)


def upgrade() -> None:
    """Everything there is belongs to the tenant `default`."""
    _create_tenants()
    _adopt()
    _create_limits()
    protect("tenants", column="name")
    list_openly("tenants")
    protect("sites", "kiosks", "kiosk_credentials", "visits", "pauses", "limits", "usage")
    protect("buckets")
    introduce("kiosk_credentials")


def _create_tenants() -> None:
    time = sa.DateTime(timezone=True)
    tenants = op.create_table(
        "tenants",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("time_zone", _NAME, nullable=False, server_default="UTC"),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_tenants"),
    )
    op.execute(tenants.insert().values(name="default", created_at=sa.func.current_timestamp()))
    op.create_table(
        "tenant_roles",
        sa.Column("role", _NAME, nullable=False),
        _tenant(),
        sa.PrimaryKeyConstraint("role", name="pk_tenant_roles"),
        _tenant_exists("tenant_roles"),
    )
    op.create_table(
        "sites",
        _tenant(),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("time_zone", _NAME),
        sa.Column("hours", sa.String(512)),
        sa.PrimaryKeyConstraint("tenant", "name", name="pk_sites"),
        _tenant_exists("sites"),
    )
    op.execute(
        "insert into sites (tenant, name) select distinct 'default', site from kiosks "
        "union select 'default', ''"
    )


def _adopt() -> None:
    with op.batch_alter_table("kiosks") as kiosks:
        kiosks.add_column(_tenant(adopted=True))
        kiosks.drop_constraint("uq_kiosks_name", type_="unique")
        kiosks.create_unique_constraint("uq_kiosks_tenant", ["tenant", "name"])
        kiosks.create_foreign_key("fk_kiosks_tenant", "tenants", ["tenant"], ["name"])
        site = (["tenant", "site"], ["tenant", "name"])
        kiosks.create_foreign_key("fk_kiosks_site", "sites", *site)
    with op.batch_alter_table("kiosk_credentials") as credentials:
        credentials.add_column(_tenant(adopted=True))
        credentials.create_foreign_key(
            "fk_kiosk_credentials_tenant", "tenants", ["tenant"], ["name"]
        )
    with op.batch_alter_table("visits") as visits:
        visits.add_column(_tenant(adopted=True))
        visits.add_column(sa.Column("charged_s", sa.Float, nullable=False, server_default="0"))
        visits.add_column(sa.Column("charged_on", sa.Date))
        visits.create_foreign_key("fk_visits_tenant", "tenants", ["tenant"], ["name"])
        visits.drop_index("ix_visits_kiosk_id")
    with op.batch_alter_table("pauses") as pauses:
        pauses.add_column(_tenant(adopted=True))
        pauses.drop_constraint("pk_pauses", type_="primary")
        pauses.create_primary_key("pk_pauses", ["tenant", "scope", "name"])
        pauses.create_foreign_key("fk_pauses_tenant", "tenants", ["tenant"], ["name"])
    for table in ("kiosks", "kiosk_credentials", "visits", "pauses"):
        with op.batch_alter_table(table) as adopted:
            adopted.alter_column("tenant", server_default=None)
    op.create_index("ix_visits_latest", "visits", ["tenant", "admitted_at"])


def _create_limits() -> None:
    limits = op.create_table(
        "limits",
        *_of_scope("limits"),
        sa.Column("minutes_per_day", sa.Integer),
        sa.Column("at_once", sa.Integer),
        sa.Column("presses_per_minute", sa.Integer),
    )
    for line in _FIRST_LIMITS:
        op.execute(limits.insert().values(tenant="default", **line))
    op.create_table(
        "usage",
        *_of_scope("usage", sa.Column("day", sa.Date, nullable=False)),
        sa.Column("seconds", sa.Float, nullable=False),
    )
    op.create_table(
        "buckets",
        *_of_scope("buckets", sa.Column("purpose", sa.String(8), nullable=False)),
        sa.Column("tokens", sa.Float, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    if is_postgresql():
        # Rewritten at every press: room for it in the same page keeps the table small.
        op.execute("alter table usage set (fillfactor = 70)")
        op.execute("alter table buckets set (fillfactor = 70)")


def _of_scope(table: str, *more: sa.Column[Any]) -> list[sa.schema.SchemaItem]:
    columns: list[sa.Column[Any]] = [
        _tenant(),
        sa.Column("scope", sa.String(8), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        *more,
    ]
    key = sa.PrimaryKeyConstraint(*(column.name for column in columns), name=f"pk_{table}")
    return [*columns, key, _tenant_exists(table)]


def _tenant(*, adopted: bool = False) -> sa.Column[str]:
    default = "default" if adopted else None
    return sa.Column("tenant", _NAME, nullable=False, server_default=default)


def _tenant_exists(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=f"fk_{table}_tenant")


def downgrade() -> None:
    """There is none: two tenants' kiosks may have the same name."""
    raise NotImplementedError
