"""Damage to a command line, to one of the files around it, or to what kind of thing a file is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from random import Random

from fuzz.mutate import octets
from fuzz.mutate.tokens import EVIL
from fuzz.scene import SPECIAL, Scene
from fuzz.target import Mutate

_VALUES = (
    *("0", "-1", "1", "1.5", "nan", "inf", "1e400", "2147483648", "4294967296", "9223372036854775808", "1x1x1"),
    *("0x0x0", "3x65536x65536"),
    *("../x", "/", ".", "-", "--", "/dev/zero", "/dev/stdin", "/dev/full", "/proc/self/mem", "a/b", "NAME=1", "=1"),
    *("a="),
    *("", " ", "\n", "a\nb", "\x1b[2J", "\u202e", "\u2028", "\udcff", "é", "a" * 300, "9" * 20, "9" * 400),
)
_OPTIONS = (
    *("--debug", "--json", "--verify", "--no-fold", "--no-weights", "--external-data", "--embed-preprocess"),
    *("--layers", "--batch", "--seed", "--opset", "--runtime", "--input", "--set", "--init", "--reinit"),
    *("--max-nodes", "--top", "--input-name", "--output-name", "--precision", "--target", "--dialect", "--names"),
    *("--labels", "--tolerance", "--allow-nonfinite", "--ignore-names", "--bytes", "--request", "--on", "--against"),
    *("--data", "--seeds", "--output", "--name", "--model-version", "--max-batch", "--preferred-batch"),
    *("--queue-delay", "--instances", "--latest", "--cpu", "--memory", "--max-replicas", "--min-replicas"),
    *("--scale-target", "--storage-uri", "--service", "--calibrate", "--calibration-images", "--min-top1"),
    *("--fp16-io"),
)


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
            return [random.choice(_OPTIONS)]
        first = len(line) > 1 and random.random() < 0.9  # the command itself, seldom
        at = random.randrange(int(first), len(line))
        value = random.choice((*_VALUES, *scene.files, random.choice(EVIL).decode("utf-8", "surrogateescape")))
        value = value.replace("\0", "")  # no word of a command line can hold it
        match random.randrange(5):
            case 0:
                line[at] = value
            case 1:
                del line[at]
            case 2:
                line.insert(at + 1, random.choice(_OPTIONS))
            case 3:
                line[at + 1 : at + 1] = [random.choice(_OPTIONS), value]
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
