"""Run by alembic for every migration, on a connection that `kiosk.backend.books.migrate` opened.

It reads no file and no environment variable, and has no offline mode.
"""

from alembic import context

from kiosk.backend.books.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot change a column; alembic copies the table instead
)
with context.begin_transaction():
    context.run_migrations()
