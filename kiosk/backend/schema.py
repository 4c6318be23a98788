"""The tables, as SQLAlchemy Core sees them. No queries, no engine.

A change here needs a migration beside it; a test compares the two. Every row belongs to a tenant.
Secrets are kept as hashes, and a minted URL is not kept at all.
"""

from datetime import UTC, datetime
from typing import Any

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

Id = sa.String(16)
Name = sa.String(64)


def _tenant(**options: Any) -> sa.Column[str]:
    return sa.Column("tenant", sa.ForeignKey("tenants.name"), nullable=False, **options)


# One organisation's kiosks, sites, visits and operators.
tenants = sa.Table(
    "tenants",
    metadata,
    sa.Column("name", Name, primary_key=True),
    sa.Column("time_zone", Name, nullable=False, server_default="UTC"),
    sa.Column("created_at", UtcTime, nullable=False),
)

# PostgreSQL roles that see one tenant's rows, whatever they ask for.
tenant_roles = sa.Table(
    "tenant_roles",
    metadata,
    sa.Column("role", Name, primary_key=True),
    _tenant(),
)

sites = sa.Table(
    "sites",
    metadata,
    _tenant(primary_key=True),
    sa.Column("name", Name, primary_key=True),  # "" for kiosks that stand nowhere in particular
    sa.Column("time_zone", Name),  # the tenant's, if none is given
    sa.Column("hours", sa.String(512)),  # as `hours.parse_hours` reads them; always, if none
)

kiosks = sa.Table(
    "kiosks",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _tenant(),
    sa.Column("name", Name, nullable=False),
    sa.Column("site", Name, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("revoked_at", UtcTime),
    sa.UniqueConstraint("tenant", "name"),
    sa.ForeignKeyConstraint(
        ["tenant", "site"], ["sites.tenant", "sites.name"], name="fk_kiosks_site"
    ),
)

kiosk_credentials = sa.Table(
    "kiosk_credentials",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _tenant(),
    sa.Column("kiosk_id", sa.ForeignKey("kiosks.id"), nullable=False, index=True),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("last_used_at", UtcTime),
)

visits = sa.Table(
    "visits",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _tenant(),
    sa.Column("kiosk_id", sa.ForeignKey("kiosks.id"), nullable=False),
    sa.Column("request_id", Name, nullable=False),
    sa.Column("conversation_id", sa.String(128)),
    sa.Column("minted_at", UtcTime, nullable=False),
    sa.Column("expires_at", UtcTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, server_default="leased"),
    sa.Column("press_id", Name),
    sa.Column("admitted_at", UtcTime),
    sa.Column("closed_at", UtcTime),
    sa.Column("outcome", sa.String(32)),
    sa.Column("duration_s", sa.Float),
    # What the day's minutes are charged with for it, and on which day of the site's.
    sa.Column("charged_s", sa.Float, nullable=False, server_default="0"),
    sa.Column("charged_on", sa.Date),
    sa.UniqueConstraint("kiosk_id", "request_id"),
)
# Of a fleet's visits a few are under way, and those are asked for at every press.
sa.Index(
    "ix_visits_open",
    visits.c.tenant,
    visits.c.kiosk_id,
    sqlite_where=visits.c.state.in_(("leased", "admitted", "live")),
    postgresql_where=visits.c.state.in_(("leased", "admitted", "live")),
)
sa.Index("ix_visits_latest", visits.c.tenant, visits.c.admitted_at)

# What an operator stops: the fleet ("") or one site or kiosk.
pauses = sa.Table(
    "pauses",
    metadata,
    _tenant(primary_key=True),
    sa.Column("scope", sa.String(8), primary_key=True),
    sa.Column("name", Name, primary_key=True),
    sa.Column("since", UtcTime, nullable=False),
)

# What an operator limits; "" is the fleet, or any site or kiosk without a line of its own.
limits = sa.Table(
    "limits",
    metadata,
    _tenant(primary_key=True),
    sa.Column("scope", sa.String(8), primary_key=True),
    sa.Column("name", Name, primary_key=True),
    sa.Column("minutes_per_day", sa.Integer),
    sa.Column("at_once", sa.Integer),
    sa.Column("presses_per_minute", sa.Integer),
)

# Seconds of conversation charged to a day; the fleet's name is "".
usage = sa.Table(
    "usage",
    metadata,
    _tenant(primary_key=True),
    sa.Column("scope", sa.String(8), primary_key=True),
    sa.Column("name", Name, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("seconds", sa.Float, nullable=False),
)

# Token buckets, as `buckets.take` leaves them.
buckets = sa.Table(
    "buckets",
    metadata,
    _tenant(primary_key=True),
    sa.Column("scope", sa.String(8), primary_key=True),
    sa.Column("name", Name, primary_key=True),
    sa.Column("purpose", sa.String(8), primary_key=True),
    sa.Column("tokens", sa.Float, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)
