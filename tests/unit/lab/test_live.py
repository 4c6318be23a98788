"""What is typed for a live demo: from a pipe, a file, and its end."""

import asyncio
import os
from pathlib import Path

import pytest

from kiosk.lab.demo.live import typed_lines

TEXT = "where is the exit\n\ncafé"
LINES = ["where is the exit", "", "café"]


async def test_a_pipe_is_read_to_its_end_also_without_a_last_newline() -> None:
    reads, writes = os.pipe()
    os.write(writes, TEXT.encode())
    os.close(writes)
    assert [line async for line in typed_lines(reads)] == LINES
    os.close(reads)


async def test_a_file_is_typed_too(tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text(TEXT, encoding="utf-8")
    with (tmp_path / "questions.txt").open("rb") as file:
        assert [line.strip() async for line in typed_lines(file.fileno())] == LINES


async def test_the_end_is_not_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.write(writes, b"one\n")
    os.close(writes)
    read, count = os.read, 0

    def counted(descriptor: int, size: int) -> bytes:
        nonlocal count
        count += descriptor == reads
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", counted)
    async for _ in typed_lines(reads):
        await asyncio.sleep(0.2)
    os.close(reads)
    assert count == 2
