"""`kiosk backend backup` and `restore`. Prints nothing; cheap to import."""

import argparse
from collections.abc import Callable
from pathlib import Path

from kiosk.errors import ConfigError

Say = Callable[[str], None]


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    backup = commands.add_parser("backup", parents=[common], help="copy the database as it serves")
    backup.add_argument("--backup-dir", metavar="DIR", type=Path, help="where the copies are")
    backup.add_argument("--backup-keep", metavar="N", help="so many stay (14)")
    backup.add_argument(
        "--backup-role", metavar="ROLE", help="the PostgreSQL role that may read all"
    )
    restore = commands.add_parser("restore", parents=[common], help="put a copy back")
    restore.add_argument("file", metavar="FILE", type=Path, help="what `backup` wrote")


def _backup(args: argparse.Namespace, say: Say) -> None:
    from datetime import UTC, datetime

    from kiosk.backend.books.backup import back_up
    from kiosk.backend.books.database import is_sqlite
    from kiosk.backend.settings import PREFIX, load_settings

    names = ("database", "backup_dir", "backup_keep", "backup_role")
    settings = load_settings({name: getattr(args, name) for name in names})
    if settings.backup_dir is None:
        raise ConfigError(f"no place for backups: set {PREFIX}BACKUP_DIR or give --backup-dir")
    url = settings.database_url
    if settings.backup_role and not is_sqlite(url):
        url = url.set(username=settings.backup_role)
    path = back_up(url, settings.backup_dir, settings.backup_keep, datetime.now(UTC))
    say(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def _restore(args: argparse.Namespace, say: Say) -> None:
    from kiosk.backend.books.backup import restore
    from kiosk.backend.books.database import shown
    from kiosk.backend.settings import load_settings

    url = load_settings({"database": args.database}).database_url
    restore(url, args.file)
    say(f"{shown(url)} is as it was in {args.file.name}; now run `kiosk backend init`")


COMMANDS: dict[str, Callable[[argparse.Namespace, Say], None]] = {
    "backup": _backup,
    "restore": _restore,
}
