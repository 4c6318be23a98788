"""Orders to single kiosks, which wait for their next heartbeat."""

import sqlalchemy as sa
from alembic import op

from kiosk.backend.books.migrations.row_level_security import protect

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing waits yet."""
    op.create_table(
        "kiosk_orders",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("tenant", sa.String(64), sa.ForeignKey("tenants.name"), nullable=False),
        sa.Column("kiosk_id", sa.String(16), sa.ForeignKey("kiosks.id"), nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("text", sa.String(200), nullable=False),
        sa.Column("ordered_by", sa.String(64), nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_kiosk_orders_waiting", "kiosk_orders", ["tenant", "kiosk_id"])
    protect("kiosk_orders")


def downgrade() -> None:
    """What waits is forgotten."""
    op.drop_table("kiosk_orders")
