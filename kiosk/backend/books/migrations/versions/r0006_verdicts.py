"""Verdict on each visit, as its kiosk judges it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Visits of before have none."""
    with op.batch_alter_table("visits") as visits:
        visits.add_column(sa.Column("verdict", sa.String(8)))
        visits.add_column(sa.Column("spoilt_by", sa.String(32)))


def downgrade() -> None:
    """Take them away: nothing else depends on them."""
    with op.batch_alter_table("visits") as visits:
        visits.drop_column("spoilt_by")
        visits.drop_column("verdict")
