"""A PostgreSQL of the tests' own: Debian's program, a temporary cluster, a socket, no service."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Who makes the tables, and who serves: the second can neither change them nor get around them.
OWNER, SERVING = "kiosk_owner", "kiosk_serving"
# No flushing: these rows need not survive the machine, and initdb alone would take seconds.
_ROOM_BYTES = 1 << 30
_FAST = "-c fsync=off -c full_page_writes=off -c max_connections=60"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server. `superuser` is for the fixtures only."""

    directory: Path
    superuser: str
    programs: Path

    def url(self, database: str, role: str = SERVING) -> str:
        return f"postgresql://{role}@/{database}?host={self.directory}"

    def psql(self, database: str, statement: str, role: str | None = None) -> str:
        """What psql says, as tuples only; raises with its complaint."""
        command = [self.programs / "psql", "-qAtX", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", self.directory, "-U", role or self.superuser, "-d", database]
        done = subprocess.run(
            [*map(str, command), "-c", statement], capture_output=True, text=True, timeout=30
        )
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout.strip()

    def control(self, *words: str, data: str = "data") -> None:
        """What `pg_ctl` is told about the server."""
        log = str(self.directory / "log")
        told = ["-D", str(self.directory / data), "-w", "-l", log, *words]
        run(self.programs, self.directory, "pg_ctl", *told)

    def start(self, data: str = "data", port: int = 5432) -> None:
        """Let it answer on its socket, of this port's name."""
        options = f"-k {self.directory} -h '' -p {port} {_FAST}"
        self.control("-o", options, "start", data=data)

    def add_standby(self, port: int) -> None:
        """A copy in `standby` that follows, and answers whoever only reads."""
        told = ["-D", str(self.directory / "standby"), "-R", "-h", str(self.directory)]
        told += ["-U", self.superuser, "--checkpoint=fast"]
        run(self.programs, self.directory, "pg_basebackup", *told)
        self.start("standby", port)


def run(programs: Path, directory: Path, program: str, *words: str) -> None:
    """One of PostgreSQL's programs, as a user that it likes; raises with its complaint."""
    done = subprocess.run(
        [str(programs / program), *words],
        user=_user() if os.geteuid() == 0 else None,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def _user() -> str:
    # It refuses to run as root; Debian's package brings a user for it.
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def programs() -> Path | None:
    """Debian's newest PostgreSQL server; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _memory() -> Path | None:
    """A place in memory, where there is room: on a disk every fourth second is spent on files that
    nobody needs later."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM_BYTES
    return memory if roomy else None


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A server that is there for as long as the block."""
    at = programs()
    assert at is not None
    user = _user()
    directory = Path(tempfile.mkdtemp(prefix="kiosk-pg-", dir=_memory()))
    if os.geteuid() == 0:
        shutil.chown(directory, user)
        directory.chmod(0o755)

    data = str(directory / "data")
    run(at, directory, "initdb", "-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync")
    made = Cluster(directory, user, at)
    made.start()
    try:
        for role in (OWNER, SERVING):
            made.psql("postgres", f"create role {role} login")
        yield made
    finally:
        made.control("-m", "immediate", "stop")
        shutil.rmtree(directory, ignore_errors=True)
