"""A command line and the folder that it runs in, as one input: a line of JSON, then the contents of the files.

Besides files the folder may hold what a user's never would: a pipe, a link to a device, a folder in place of a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from resnetgen.errors import Code, UsageError

SPECIAL: dict[str, Callable[[Path], None]] = {
    "folder": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path),
    "zeros": lambda path: path.symlink_to("/dev/zero"),
    "nowhere": lambda path: path.symlink_to("nowhere"),
    "itself": lambda path: path.symlink_to(path.name),
    "full": lambda path: path.symlink_to("/dev/full"),
}


@dataclass(frozen=True)
class Scene:
    line: tuple[str, ...]
    """The words behind `resnetgen`."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    special: Mapping[str, str] = field(default_factory=dict)
    """Name -> its kind, a key of SPECIAL."""

    def pack(self) -> bytes:
        sizes = {name: len(data) for name, data in self.files.items()}
        head = json.dumps([self.line, sizes, dict(self.special)])
        return b"\n".join([head.encode(), b"".join(self.files.values())])

    @classmethod
    def unpack(cls, data: bytes) -> Scene:
        """Raises Failure (exit 2) for what is no scene, as half of one is that is being shrunk."""
        head, _, body = data.partition(b"\n")
        try:
            line, sizes, special = json.loads(head)
            files, start = {}, 0
            for name, size in sizes.items():
                files[str(name)] = body[start : start + int(size)]
                start += int(size)
            return cls(tuple(map(str, line)), files, {str(name): str(kind) for name, kind in special.items()})
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UsageError.of(Code.BAD_ARGUMENT, f"it is no scene: {error}") from None

    def lay_out(self, folder: Path) -> None:
        """Make the files below an empty folder. Names that no file can have are left out."""
        for name, data in self.files.items():
            _make(folder, name, lambda path, data=data: path.write_bytes(data))
        for name, kind in self.special.items():
            _make(folder, name, SPECIAL.get(kind, Path.touch))


def _make(folder: Path, name: str, make: Callable[[Path], object]) -> None:
    path = folder / name
    if ".." in path.parts or not path.is_relative_to(folder):
        return
    with suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() and not path.is_symlink():
            make(path)
