"""Kiosks, their credentials and their visits."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the first tables."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "kiosks",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("revoked_at", time),
        sa.PrimaryKeyConstraint("id", name="pk_kiosks"),
        sa.UniqueConstraint("name", name="uq_kiosks_name"),
    )
    op.create_table(
        "kiosk_credentials",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("kiosk_id", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("last_used_at", time),
        sa.PrimaryKeyConstraint("id", name="pk_kiosk_credentials"),
        sa.ForeignKeyConstraint(["kiosk_id"], ["kiosks.id"], name="fk_kiosk_credentials_kiosk_id"),
    )
    op.create_index("ix_kiosk_credentials_kiosk_id", "kiosk_credentials", ["kiosk_id"])
    op.create_table(
        "visits",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("kiosk_id", sa.String(16), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("conversation_id", sa.String(128)),
        sa.Column("minted_at", time, nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_visits"),
        sa.ForeignKeyConstraint(["kiosk_id"], ["kiosks.id"], name="fk_visits_kiosk_id"),
    )
    op.create_index("ix_visits_kiosk_id", "visits", ["kiosk_id"])


def downgrade() -> None:
    """Drop them again."""
    op.drop_table("visits")
    op.drop_table("kiosk_credentials")
    op.drop_table("kiosks")
