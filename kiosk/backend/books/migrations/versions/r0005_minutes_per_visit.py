"""Minutes that a visit may last: a site's setting, and what each lease told its kiosk."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Until now every visit was one of ten minutes."""
    with op.batch_alter_table("limits") as limits:
        limits.add_column(sa.Column("minutes_per_visit", sa.Integer))
    with op.batch_alter_table("visits") as visits:
        longest = sa.Column("longest_s", sa.Float, nullable=False, server_default="600")
        visits.add_column(longest)


def downgrade() -> None:
    """There is none: long visits would be charged as short ones."""
    raise NotImplementedError
