"""Bugs outside the task group: in a device's thread, in a callback of the loop."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def failures(loop: asyncio.AbstractEventLoop) -> Iterator["asyncio.Future[None]"]:
    """A future that fails with the first bug in a device thread or in a callback of the loop."""
    failed: asyncio.Future[None] = loop.create_future()

    def fail(error: BaseException) -> None:
        if not failed.done():
            failed.set_exception(error)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        error = args.exc_value or RuntimeError(f"{args.exc_type.__name__} in a thread")
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is left to stop
            loop.call_soon_threadsafe(fail, error)

    def in_callback(_: asyncio.AbstractEventLoop, context: Mapping[str, object]) -> None:
        error = context.get("exception")
        fail(error if isinstance(error, BaseException) else RuntimeError(context.get("message")))

    previous = threading.excepthook
    threading.excepthook = in_thread
    loop.set_exception_handler(in_callback)
    try:
        yield failed
    finally:
        threading.excepthook = previous
        loop.set_exception_handler(None)
        failed.cancel()
