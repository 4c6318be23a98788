"""A kiosk whose name servers are silent, as behind a firewall that drops: the resolver hangs."""

import asyncio
import signal
import sys
from pathlib import Path

from tests.unit.configs import WITHOUT_HARDWARE

# Nothing that this process asks the resolver for ever comes back.
KIOSK = """
import socket, sys, threading

def getaddrinfo(*_, **__):
    print("asked", flush=True)
    threading.Event().wait()

socket.getaddrinfo = getaddrinfo
from kiosk.cli import main
sys.exit(main(["run", "--config", sys.argv[1]]))
"""


async def test_a_stop_does_not_wait_for_the_resolver(short_dir: Path) -> None:
    """systemd kills after five seconds, and would report the kiosk as down."""
    token, config = short_dir / "token", short_dir / "config.toml"
    token.write_text(f"kdk_{1:016x}_{1:064x}")
    config.write_text(
        f'{WITHOUT_HARDWARE}[credentials]\nmode = "backend"\nbackend_url = "https://kiosks.test"\n'
        f'device_token_file = "{token}"\n[control]\nsocket = "{short_dir}/s"\n'
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", KIOSK, str(config)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(50):
            assert await process.stdout.readline() == b"asked\n"
            process.send_signal(signal.SIGTERM)
            _, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0, stderr.decode()
    assert b"Traceback" not in stderr
    assert b"stopping" in stderr
