"""The tables, as SQLAlchemy Core sees them. No queries, no engine.

A change here needs a migration beside it; a test compares the two. Secrets are kept as hashes, and
a minted URL is not kept at all.
"""

from datetime import UTC, datetime

import sqlalchemy as sa


class UtcTime(sa.TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets the zone, so it is put back when read."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuses a naive time: nobody knows when it was."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Always aware, always UTC."""
        return value.replace(tzinfo=UTC) if value is not None else None


metadata = sa.MetaData(
    # Named constraints, because SQLite can only change a table by copying it, and alembic can only
    # carry over a constraint that it can name.
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

kiosks = sa.Table(
    "kiosks",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("site", sa.String(64), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("revoked_at", UtcTime),
)

kiosk_credentials = sa.Table(
    "kiosk_credentials",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("kiosk_id", sa.ForeignKey("kiosks.id"), nullable=False, index=True),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("last_used_at", UtcTime),
)

visits = sa.Table(
    "visits",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("kiosk_id", sa.ForeignKey("kiosks.id"), nullable=False, index=True),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("conversation_id", sa.String(128)),
    sa.Column("minted_at", UtcTime, nullable=False),
    sa.Column("expires_at", UtcTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, server_default="leased"),
    sa.Column("press_id", sa.String(64)),
    sa.Column("admitted_at", UtcTime),
    sa.Column("closed_at", UtcTime),
    sa.Column("outcome", sa.String(32)),
    sa.Column("duration_s", sa.Float),
    sa.UniqueConstraint("kiosk_id", "request_id"),
)

pauses = sa.Table(
    "pauses",
    metadata,
    sa.Column("scope", sa.String(8), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),  # "" for the fleet
    sa.Column("since", UtcTime, nullable=False),
)
