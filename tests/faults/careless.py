"""The negative control of tests that kill the program: one that writes where its files shall stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resnetgen.build import job
from resnetgen.staging import files


class Careless(files.Staging):
    def __init__(self, final: Path) -> None:
        super().__init__(final, final)

    def create(self, path: Path) -> files.Output:
        path.unlink(missing_ok=True)
        return super().create(path)

    def publish(self, final: Path | None = None, without: Any = (), last: Callable[[], Any] | None = None) -> None:
        if last:
            self.write_text(*last())

    def close(self) -> None:
        self._pool.shutdown()


@contextmanager
def staging(final: Path) -> Iterator[Careless]:
    final.mkdir(parents=True, exist_ok=True)
    yield Careless(final)


def write_in_place() -> None:
    """Let builds of this process write in place."""
    job.staging = staging
