"""Alembic's side of the database: `env.py` and the revisions. Only alembic loads them."""
