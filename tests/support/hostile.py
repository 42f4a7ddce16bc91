"""Reading weight files that are hostile: what is raised, and how much memory is asked for."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure
from resnetgen.weights.checkpoint import open_checkpoint
from support.work import count_bytes

MEMORY = 8 << 20
"""Bytes that reading a small file may take, whatever it claims."""


MEASURED = "RESNETGEN_MEMORY" in os.environ
"""Measure memory beside what is asked for. It is slow, and other threads take memory as well."""


@contextmanager
def little_memory() -> Iterator[None]:
    if not MEASURED:
        with count_bytes(MEMORY):
            yield
        return
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def read_all(path: Path) -> dict[str, bytes]:
    read = open_checkpoint(path)
    return {name: read.array(name).tobytes() for name in read.tensors}


def error(path: Path, data: bytes) -> str:
    """The text of the error, of exit 4."""
    path.write_bytes(data)
    with pytest.raises(Failure) as caught, little_memory():
        read_all(path)
    assert exit_code(caught.value) is Exit.MODEL
    assert {problem.code for problem in caught.value.problems} == {Code.BAD_MODEL}
    return str(caught.value).replace(str(path), "FILE")


def read_back(path: Path, data: bytes) -> dict[str, bytes]:
    path.write_bytes(data)
    return read_all(path)
