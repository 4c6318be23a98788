"""PostgreSQL's row level security over tenants' tables. Released migrations use it: never changed.

A role that `tenant_roles` names sees that tenant's rows, whatever it sets. Any other sees those of
the tenant its transaction has entered, and none before. FORCE holds the tables' owner to it too;
only a superuser or a role with BYPASSRLS gets around, and the server refuses to run as one.
"""

from alembic import op

TENANT = (
    "coalesce((select r.tenant from tenant_roles r where r.role = current_user), "
    "current_setting('kiosk.tenant', true))"
)


def is_postgresql() -> bool:
    """Whether there is such a thing in this database."""
    return op.get_bind().dialect.name == "postgresql"


def protect(*tables: str, column: str = "tenant") -> None:
    """From now on a transaction sees and writes its own tenant's rows only."""
    if not is_postgresql():
        return
    for table in tables:
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(
            f"create policy own_tenant on {table} "
            f"using ({column} = {TENANT}) with check ({column} = {TENANT})"
        )


def introduce(table: str) -> None:
    """A transaction that names a credential sees that one, to learn whose it is. A tenant's own
    role gets no such look."""
    if is_postgresql():
        op.execute(
            f"create policy introduction on {table} for select using ("
            "id = current_setting('kiosk.credential', true) "
            "and not exists (select from tenant_roles r where r.role = current_user))"
        )


def list_openly(table: str) -> None:
    """Whoever serves all tenants may read whom there is, and enter one after the other."""
    if is_postgresql():
        op.execute(
            f"create policy listing on {table} for select using ("
            "not exists (select from tenant_roles r where r.role = current_user))"
        )
