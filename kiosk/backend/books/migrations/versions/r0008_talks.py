"""Talks of a mind's script: where each stands, and what was made of it for the visitor."""

import sqlalchemy as sa
from alembic import op

from kiosk.backend.books.migrations.row_level_security import protect

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No talk is remembered yet."""
    op.create_table(
        "talks",
        sa.Column("tenant", sa.String(64), sa.ForeignKey("tenants.name"), primary_key=True),
        sa.Column("visit_id", sa.String(16), sa.ForeignKey("visits.id"), primary_key=True),
        sa.Column("standing", sa.JSON, nullable=False),
        sa.Column("handout", sa.JSON),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("forget_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_talks_forget_at", "talks", ["tenant", "forget_at"])
    protect("talks")


def downgrade() -> None:
    """What was remembered is forgotten."""
    op.drop_table("talks")
