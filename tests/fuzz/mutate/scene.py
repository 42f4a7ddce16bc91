"""Damage to a command line, to one of the files around it, or to what kind of thing a file is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from random import Random

import click

from fuzz.mutate import octets
from fuzz.mutate.tokens import EVIL
from fuzz.scene import SPECIAL, Scene
from fuzz.target import Mutate
from resnetgen.cli import main

_VALUES = (
    *("0", "-1", "1", "1.5", "nan", "inf", "1e400", "2147483648", "4294967296", "9223372036854775808", "1x1x1"),
    *("0x0x0", "3x65536x65536"),
    *("../x", ".", "-", "--", "a/b", "NAME=1", "=1", "a="),
    *("", " ", "\n", "a\nb", "\x1b[2J", "\u202e", "\u2028", "\udcff", "é", "a" * 300, "9" * 20, "9" * 400),
)


def _options(line: Sequence[str]) -> list[str]:
    """The options of the command that a line names; else of all commands."""
    command: click.Command = main
    for word in line[:2]:
        command = command.commands.get(word, command) if isinstance(command, click.Group) else command
    found = [option for parameter in command.params for option in parameter.opts if option.startswith("-")]
    return found or ["--help"]


@dataclass(frozen=True)
class Scenes:
    """`inside`: what is done to a file, by the ending of its name; bytes are done to the others."""

    inside: dict[str, Mutate]

    def __call__(self, data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
        scene = Scene.unpack(data)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            kind = random.random()
            if kind < 0.3 or not scene.files:
                scene = replace(scene, line=tuple(self._line(list(scene.line), random, scene)))
            elif kind < 0.9:
                name = random.choice(list(scene.files))
                files = {**scene.files, name: self._file(name, scene, random, others)}
                scene = replace(scene, files=files)
            else:
                scene = _swapped(scene, random)
        return scene.pack()

    def _line(self, line: list[str], random: Random, scene: Scene) -> list[str]:
        if not line:
            return ["--help"]
        option = random.choice(_options(line))
        first = len(line) > 1 and random.random() < 0.9  # the command itself, seldom
        at = random.randrange(int(first), len(line))
        value = random.choice((*_VALUES, *scene.files, random.choice(EVIL).decode("utf-8", "surrogateescape")))
        # No word of a command line holds a NUL, and no run writes elsewhere than below its folder.
        value = value.replace("\0", "").replace("../../", "").lstrip("/")
        match random.randrange(5):
            case 0:
                line[at] = value
            case 1:
                del line[at]
            case 2:
                line.insert(at + 1, option)
            case 3:
                line[at + 1 : at + 1] = [option, value]
            case _:
                line[at] = line[at] + random.choice(("0", "9" * 20, "\n", "\u202e", ".", ":", "=", "x"))
        return line

    def _file(self, name: str, scene: Scene, random: Random, others: Sequence[bytes]) -> bytes:
        data, suffix = scene.files[name], PurePath(name).suffix
        if random.random() < 0.05:
            return random.choice(list(scene.files.values()))
        similar = [_with_ending(suffix, Scene.unpack(one), data) for one in random.choices(others, k=3)]
        try:
            return self.inside.get(suffix, octets.mutate)(data, random, similar)
        except Exception:  # damaged before, it is no longer of the kind that its ending says
            return octets.mutate(data, random, similar)


def _with_ending(suffix: str, scene: Scene, default: bytes) -> bytes:
    return next((data for name, data in scene.files.items() if name.endswith(suffix)), default)


def _swapped(scene: Scene, random: Random) -> Scene:
    """The scene with a pipe, a device or a folder in place of a file, or beside the files, or without one of them."""
    files, special = dict(scene.files), dict(scene.special)
    name = random.choice([*files, "generated", "out", "labels.txt", "manifest.json", "preprocess.json", "x.yaml"])
    files.pop(name, None)
    if random.random() < 0.8:
        special[name] = random.choice(list(SPECIAL))
    return replace(scene, files=files, special=special)
