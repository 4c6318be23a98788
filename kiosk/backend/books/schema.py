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
    sa.Column("lease_policy", sa.String(16)),  # as each kiosk is configured, if none
    sa.Column("target_version", sa.String(32)),
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
    sa.Column("character", Name),
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
    sa.Column("character", Name),  # the site's, if none
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
    # What it was worth to the visitor, and what was not good in it, in the kiosk's words.
    sa.Column("verdict", sa.String(8)),
    sa.Column("spoilt_by", sa.String(32)),
    sa.Column("duration_s", sa.Float),
    # What the day's minutes are charged with for it, and on which day of the site's.
    sa.Column("charged_s", sa.Float, nullable=False, server_default="0"),
    sa.Column("charged_on", sa.Date),
    # What the kiosk's own day is charged with besides, until the provider has told.
    sa.Column("held_s", sa.Float, nullable=False, server_default="0"),
    # How long it may last, as its lease told the kiosk.
    sa.Column("longest_s", sa.Float, nullable=False, server_default="600"),
    sa.UniqueConstraint("kiosk_id", "request_id"),
)


def _literally(*states: str) -> sa.ColumnElement[bool]:
    # Not as parameters: SQLite takes a partial index only for the very words of its condition.
    return visits.c.state.in_([sa.literal_column(f"'{state}'") for state in states])


# Of a fleet's visits a few are under way, or not used yet, or not confirmed yet; those are asked
# for all the time, and each kind has an index of its own.
IS_OPEN = _literally("admitted", "live")
IS_LEASED = _literally("leased")
IS_UNSPENT = _literally("leased", "expired")
IS_HELD = visits.c.held_s > sa.literal_column("0")


def _index(name: str, condition: sa.ColumnElement[bool], *columns: sa.Column[Any]) -> None:
    sa.Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


_index("ix_visits_open", IS_OPEN, visits.c.tenant, visits.c.kiosk_id)
_index("ix_visits_open_since", IS_OPEN, visits.c.tenant, visits.c.admitted_at)
_index("ix_visits_leased", IS_LEASED, visits.c.tenant, visits.c.kiosk_id)
_index("ix_visits_unspent", IS_UNSPENT, visits.c.tenant, visits.c.minted_at)
_index("ix_visits_held", IS_HELD, visits.c.tenant, visits.c.closed_at)
sa.Index("ix_visits_latest", visits.c.tenant, visits.c.admitted_at)
sa.Index("ix_visits_minted", visits.c.tenant, visits.c.minted_at)

# What an operator stops: the fleet ("") or one site or kiosk.
pauses = sa.Table(
    "pauses",
    metadata,
    _tenant(primary_key=True),
    sa.Column("scope", sa.String(8), primary_key=True),
    sa.Column("name", Name, primary_key=True),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("ends_visits", sa.Boolean, nullable=False, server_default=sa.false()),
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
    sa.Column("minutes_per_visit", sa.Integer),
)

# What single kiosks are to do with their next heartbeat.
kiosk_orders = sa.Table(
    "kiosk_orders",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _tenant(),
    sa.Column("kiosk_id", sa.ForeignKey("kiosks.id"), nullable=False),
    sa.Column("what", sa.String(16), nullable=False),
    sa.Column("text", sa.String(200), nullable=False),
    sa.Column("ordered_by", Name, nullable=False),
    sa.Column("ordered_at", UtcTime, nullable=False),
    sa.Index("ix_kiosk_orders_waiting", "tenant", "kiosk_id"),
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

# Every conversation that a credential was minted for; what the provider says of it, once it does.
conversations = sa.Table(
    "conversations",
    metadata,
    _tenant(primary_key=True),
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("kiosk_id", sa.ForeignKey("kiosks.id"), nullable=False),
    sa.Column("visit_id", sa.ForeignKey("visits.id"), nullable=False, index=True),
    sa.Column("minted_at", UtcTime, nullable=False),
    sa.Column("confirmed_at", UtcTime),
    sa.Column("confirmed_by", sa.String(16)),
    sa.Column("status", sa.String(32)),
    sa.Column("started_at", UtcTime),
    sa.Column("duration_s", sa.Float),
    sa.Column("cost", sa.Float),
    sa.Column("termination_reason", sa.String(256)),
)

# A webhook names the conversation only.
sa.Index("ix_conversations_id", conversations.c.id)

# What happened in a visit, as the kiosk told: names and numbers, nobody's words.
conversation_events = sa.Table(
    "conversation_events",
    metadata,
    _tenant(primary_key=True),
    sa.Column("visit_id", sa.ForeignKey("visits.id"), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("at_s", sa.Float, nullable=False),
    sa.Column("what", sa.String(32), nullable=False),
    sa.Column("fields", sa.JSON, nullable=False),
)

# What was said: empty unless an operator wants it kept, and never for longer than they say.
transcripts = sa.Table(
    "transcripts",
    metadata,
    _tenant(primary_key=True),
    sa.Column("conversation_id", sa.String(128), primary_key=True),
    sa.Column("stored_at", UtcTime, nullable=False, index=True),
    sa.Column("turns", sa.JSON, nullable=False),
)

# Where the script of a mind stands in a visit, with what the visitor told, and what was made of it.
talks = sa.Table(
    "talks",
    metadata,
    _tenant(primary_key=True),
    sa.Column("visit_id", sa.ForeignKey("visits.id"), primary_key=True),
    sa.Column("standing", sa.JSON, nullable=False),
    sa.Column("handout", sa.JSON),
    sa.Column("told_at", UtcTime, nullable=False),
    sa.Column("forget_at", UtcTime, nullable=False),
    sa.Index("ix_talks_forget_at", "tenant", "forget_at"),
)

# How each kiosk was when it was last heard of: one narrow row, rewritten.
liveness = sa.Table(
    "liveness",
    metadata,
    _tenant(primary_key=True),
    sa.Column("kiosk_id", sa.ForeignKey("kiosks.id"), primary_key=True),
    sa.Column("seen_at", UtcTime, nullable=False),
    sa.Column("boot_id", Name, nullable=False),
    sa.Column("earlier_boot_id", Name),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("cause", sa.String(32), nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("counters", sa.JSON, nullable=False),
    # Two kiosks took turns with one token.
    sa.Column("cloned_at", UtcTime),
)

# One-time codes, by the SHA-256 of them, for kiosks that are to come.
enrolment_codes = sa.Table(
    "enrolment_codes",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    _tenant(),
    sa.Column("name", Name, nullable=False),
    sa.Column("site", Name, nullable=False),
    sa.Column("expires_at", UtcTime, nullable=False),
    sa.Column("redeemed_at", UtcTime),
)

operators = sa.Table(
    "operators",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _tenant(),
    sa.Column("name", Name, nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("revoked_at", UtcTime),
    sa.UniqueConstraint("tenant", "name"),
)

# Who changed what. Rows are added and never changed.
audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _tenant(),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("who", Name, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("subject", sa.String(256), nullable=False),
)
sa.Index("ix_audit_log_at", audit_log.c.tenant, audit_log.c.at)
