"""Ledger: what became of each visit, and who is paused."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A visit gets its life; a kiosk asks for a lease once only."""
    time = sa.DateTime(timezone=True)
    # The same request may have been recorded twice, for nothing forbade it: its last lease keeps
    # the name.
    op.execute(
        "update visits set request_id = id where exists ("
        "select 1 from visits later where later.kiosk_id = visits.kiosk_id "
        "and later.request_id = visits.request_id and (later.minted_at > visits.minted_at "
        "or (later.minted_at = visits.minted_at and later.id > visits.id)))"
    )
    with op.batch_alter_table("visits") as visits:
        visits.add_column(
            sa.Column("state", sa.String(16), nullable=False, server_default="leased")
        )
        visits.add_column(sa.Column("press_id", sa.String(64)))
        visits.add_column(sa.Column("admitted_at", time))
        visits.add_column(sa.Column("closed_at", time))
        visits.add_column(sa.Column("outcome", sa.String(32)))
        visits.add_column(sa.Column("duration_s", sa.Float))
        visits.create_unique_constraint("uq_visits_kiosk_id", ["kiosk_id", "request_id"])
    op.create_table(
        "pauses",
        sa.Column("scope", sa.String(8), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("since", time, nullable=False),
        sa.PrimaryKeyConstraint("scope", "name", name="pk_pauses"),
    )


def downgrade() -> None:
    """Forget it again."""
    op.drop_table("pauses")
    with op.batch_alter_table("visits") as visits:
        visits.drop_constraint("uq_visits_kiosk_id", type_="unique")
        for column in ("state", "press_id", "admitted_at", "closed_at", "outcome", "duration_s"):
            visits.drop_column(column)
