"""A trial with a limit: a thread for one call that may hang, in a driver or in a resolver."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


async def in_time(limit_s: float, call: Callable[[], None]) -> None:
    """Make the call in a thread of its own; raises what it raises, and TimeoutError when it takes
    longer: then the thread is left behind, and keeps no process alive."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        with _Outcome() as outcome:
            call()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, outcome.error)

    # Not the loop's own threads: Python waits for those when it ends.
    threading.Thread(target=run, name="trial", daemon=True).start()
    async with asyncio.timeout(limit_s):
        await done


class _Outcome:
    """Carries whatever is raised in the block to whoever waits for it in another thread."""

    error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.error = error
        return True
