"""Conversations as the provider reports them, heartbeats, and operators."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from kiosk.backend.books.migrations.row_level_security import introduce, is_postgresql, protect

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.String(16)
_NAME = sa.String(64)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Visits that were minted before have no line of their own among the conversations."""
    _add_columns()
    _create_indexes()
    _create_conversations()
    _create_liveness()
    _create_enrolment_codes()
    _create_operators()
    protect("conversations", "conversation_events", "transcripts", "liveness")
    protect("enrolment_codes", "operators", "audit_log")
    introduce("conversations")
    introduce("enrolment_codes")
    introduce("operators")


def _add_columns() -> None:
    with op.batch_alter_table("tenants") as tenants:
        tenants.add_column(sa.Column("lease_policy", sa.String(16)))
        tenants.add_column(sa.Column("target_version", sa.String(32)))
    with op.batch_alter_table("visits") as visits:
        visits.add_column(sa.Column("held_s", sa.Float, nullable=False, server_default="0"))
    with op.batch_alter_table("pauses") as pauses:
        ends = sa.Column("ends_visits", sa.Boolean, nullable=False, server_default=sa.false())
        pauses.add_column(ends)
    for table in ("sites", "kiosks"):
        with op.batch_alter_table(table) as changed:
            changed.add_column(sa.Column("character", _NAME))


def _create_indexes() -> None:
    for name, condition, column in (
        ("ix_visits_open", "state IN ('admitted', 'live')", "kiosk_id"),
        ("ix_visits_open_since", "state IN ('admitted', 'live')", "admitted_at"),
        ("ix_visits_leased", "state IN ('leased')", "kiosk_id"),
        ("ix_visits_unspent", "state IN ('leased', 'expired')", "minted_at"),
        ("ix_visits_held", "held_s > 0", "closed_at"),
    ):
        where = sa.text(condition)
        columns = ["tenant", column]
        op.create_index(name, "visits", columns, sqlite_where=where, postgresql_where=where)
    op.create_index("ix_visits_minted", "visits", ["tenant", "minted_at"])


def _create_conversations() -> None:
    _create(
        "conversations",
        ["tenant", "id"],
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("kiosk_id", _ID, nullable=False),
        sa.Column("visit_id", _ID, nullable=False),
        sa.Column("minted_at", _TIME, nullable=False),
        sa.Column("confirmed_at", _TIME),
        sa.Column("confirmed_by", sa.String(16)),
        sa.Column("status", sa.String(32)),
        sa.Column("started_at", _TIME),
        sa.Column("duration_s", sa.Float),
        sa.Column("cost", sa.Float),
        sa.Column("termination_reason", sa.String(256)),
        _refers("conversations", "kiosk_id", "kiosks.id"),
        _refers("conversations", "visit_id", "visits.id"),
    )
    op.create_index("ix_conversations_visit_id", "conversations", ["visit_id"])
    op.create_index("ix_conversations_id", "conversations", ["id"])
    _create(
        "conversation_events",
        ["tenant", "visit_id", "sequence"],
        sa.Column("visit_id", _ID, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("at_s", sa.Float, nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        _refers("conversation_events", "visit_id", "visits.id"),
    )
    _create(
        "transcripts",
        ["tenant", "conversation_id"],
        sa.Column("conversation_id", sa.String(128), nullable=False),
        sa.Column("stored_at", _TIME, nullable=False),
        sa.Column("turns", sa.JSON, nullable=False),
    )
    op.create_index("ix_transcripts_stored_at", "transcripts", ["stored_at"])


def _create_liveness() -> None:
    _create(
        "liveness",
        ["tenant", "kiosk_id"],
        sa.Column("kiosk_id", _ID, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("boot_id", _NAME, nullable=False),
        sa.Column("earlier_boot_id", _NAME),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("cause", sa.String(32), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("counters", sa.JSON, nullable=False),
        sa.Column("cloned_at", _TIME),
        _refers("liveness", "kiosk_id", "kiosks.id"),
    )
    if is_postgresql():
        # Rewritten all the time: room for it in the same page keeps the table small.
        op.execute("alter table liveness set (fillfactor = 70)")


def _create_enrolment_codes() -> None:
    _create(
        "enrolment_codes",
        ["id"],
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("site", _NAME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("redeemed_at", _TIME),
    )


def _create_operators() -> None:
    _create(
        "operators",
        ["id"],
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME),
        sa.UniqueConstraint("tenant", "name", name="uq_operators_tenant"),
    )
    _create(
        "audit_log",
        ["id"],
        sa.Column("id", _ID, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("who", _NAME, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(256), nullable=False),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["tenant", "at"])


def _create(table: str, key: list[str], *items: Any) -> None:
    op.create_table(
        table,
        sa.Column("tenant", _NAME, nullable=False),
        *items,
        sa.PrimaryKeyConstraint(*key, name=f"pk_{table}"),
        _refers(table, "tenant", "tenants.name"),
    )


def _refers(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [to], name=f"fk_{table}_{column}")


def downgrade() -> None:
    """There is none: what was confirmed would be forgotten."""
    raise NotImplementedError
