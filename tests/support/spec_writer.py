"""Cells of the spec language that fit, drawn by hypothesis: each method gives a cell's text and the shape behind it.

The shapes are computed here from the page docs/spec-language.md, not by the package: rows bear them as their size
column, so that a spec whose sizes the package sees otherwise does not compile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from hypothesis import strategies as st

from support.helpers import starts

T = TypeVar("T")
Shape: TypeAlias = tuple[int, ...]
Cell: TypeAlias = tuple[str, Shape]

ANYWHERE = ("relu", "sigmoid", "batchnorm", "relu6", "silu", "mish", "gelu", "leakyrelu 0.1", "dropout 0.5", "softmax")
"""Ops that keep whatever shape there is."""
IMAGE_ALONE = ("lrn", "lrn size=3, alpha=0.5, beta=0.5", "groupnorm 1, eps=0.1", "norm", "act")
ACTIVATIONS = ("relu", "relu6", "silu", "sigmoid", "leakyrelu slope=0.2", "mish", "gelu", "identity")
NORMS = ("batchnorm", "batchnorm eps=0.001", "groupnorm 1, eps=0.1", "identity")
UNITS = (["conv", "norm", "act"], ["norm", "act", "conv"], ["act", "conv", "norm"], ["conv", "act"], ["conv"])
MOST = 8
"""Channels, about: engines take milliseconds."""


@dataclass(frozen=True)
class Brackets:
    """What `[...]` means in a spec: `defaults.bracket`, as far as shapes depend on it."""

    stride_on: str = "first"
    shortcut: str | None = "shortcut.B"
    merge: str = "add"
    alone: bool = False
    """Whether the main branch is all."""

    def output(self, image: Shape, channels: int, stride: int = 1) -> Shape:
        """Behind one bracket whose main branch gives so many channels."""
        if self.alone or self.merge != "concat":
            return (channels, *strided(image[1:], stride))
        beside = image[0] if self.shortcut is None else channels
        return (channels + beside, *strided(image[1:], stride))

    def takes(self, image: Shape, channels: int, stride: int) -> bool:
        """Whether the shortcut gives what can be merged."""
        if self.alone:
            return True
        match self.shortcut:
            case None:
                return stride == 1 and (channels == image[0] or self.merge == "concat")
            case "shortcut.A" | "shortcut.A_both":
                return channels >= image[0]
            case "shortcut.D":  # it averages two by two
                return stride == 1 or (stride == 2 and min(image[1:]) > 1)
        return True


def strided(extents: Sequence[int], down: int, right: int | None = None) -> tuple[int, ...]:
    """Behind a window that keeps the size at stride 1."""
    height, width = extents
    return (-(-height // down), -(-width // (right or down)))


def divisors(count: int) -> list[int]:
    return [n for n in range(1, count + 1) if count % n == 0]


@dataclass
class Writer:
    draw: Callable[[st.SearchStrategy[Any]], Any]
    libraries: tuple[str, ...] = ("std",)
    brackets: Brackets = Brackets()
    params: dict[str, float] = field(default_factory=dict)
    """Those of the spec, as the cells came to use them."""
    blocks: dict[str, str] = field(default_factory=dict)
    """The spec's own: name -> YAML."""
    indexed: bool = False
    """Whether a cell of this row has had a number: what depends on $index is then left out."""

    # Choices and numbers

    def one_of(self, *choices: T) -> T:
        """The first is what an example shrinks to."""
        chosen: T = self.draw(st.sampled_from(choices))
        return chosen

    def upto(self, most: int, least: int = 1) -> int:
        number: int = self.draw(st.integers(least, max(least, most)))
        return number

    def rarely(self) -> bool:
        return bool(self.upto(3, 0) == 3)

    def side(self, value: int) -> str:
        """Of a pair: a number, or a $name and a space that ends it."""
        return f"{self.param(value)} " if self.upto(11, 0) == 11 else str(value)

    def param(self, value: int) -> str:
        self.params.setdefault(f"p{value}", value)
        return f"$p{value}"

    def number(self, value: int) -> str:
        """The value itself, or an expression of it."""
        match self.upto(15, 0):
            case 10:
                return f"{value + 3} - 3"
            case 11:
                return f"1 * ({value} + {value}) // 2"
            case 12:
                return f"{value} if {self.param(1)} == 1 else {value + 1}"
            case 13:
                return f"{2 * value + 1} % {value + 1} or {value}" if value else "0 and 2"
            case 14 | 15:
                return self.param(value)
        return str(value)

    def pair(self, height: int, width: int) -> str:
        if height == width and not self.rarely():
            return self.number(height)
        return f"{self.side(height)}x{self.side(width)}"

    def option(self, words: tuple[str, str], height: int, width: int) -> str:
        """`/2` or `stride=2x1`."""
        word = self.one_of(*words)
        return f", {word}{self.pair(height, width)}"

    # Windows

    def kernel(self, height: int, width: int) -> str:
        return f"{self.side(height)}x{self.side(width)}"

    def conv(self, image: Shape, groups_of: int | None = None) -> Cell:
        """A convolution's arguments. `groups_of`: the channels that groups may divide, where they are known."""
        channels, *extents = image
        groups = self.one_of(*divisors(groups_of or channels)) if self.rarely() else 1
        out = groups * self.upto(max(1, MOST // groups))
        same = not self.rarely()
        stride = (self.upto(3), self.upto(3)) if self.rarely() else (1, 1)
        dilation = (self.upto(3), self.upto(2)) if self.rarely() else (1, 1)
        pad, kernel = [], []
        for size, d in zip(extents, dilation, strict=True):
            if same:
                k = self.one_of(1, 3, 5)
                p = d * (k - 1) // 2
            else:
                p = self.upto(3, 0)
                k = self.upto(min(5, (size + 2 * p - 1) // d + 1))
            kernel.append(k)
            pad.append(p)
        text = f"{self.kernel(*kernel)}, {self.number(out)}"
        if stride != (1, 1):
            text += self.option(("/", "stride="), *stride)
        if groups != 1:
            text += f", {self.one_of('C=', 'groups=')}{self.number(groups)}"
        if dilation != (1, 1):
            text += self.option(("d=", "dilation="), *dilation)
        if not same:
            text += self.option(("p=", "pad="), *pad)
        text += self.one_of("", "", ", bias", ", bias=0")
        axes = zip(extents, kernel, stride, pad, dilation, strict=True)
        return text, (out, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes))

    def unit(self, image: Shape) -> Cell:
        text, out = self.conv(image)
        return text + self.one_of("", "", ", linear", ", bare"), out

    def pooling(self, image: Shape) -> Cell:
        keyword = self.one_of("maxpool", "avgpool")
        extents = image[1:]
        kernel = [self.upto(min(5, size)) for size in extents]
        if keyword == "avgpool" and self.rarely():
            return f"avgpool {self.kernel(*kernel)}, same", image
        stride = [self.upto(3) for _ in extents]
        pad = [self.upto(k - 1, 0) for k in kernel] if self.rarely() else [0, 0]
        windows = list(zip(extents, kernel, stride, pad, strict=True))
        ceil = self.upto(1, 0) == 1
        if ceil and any(starts(n, k, s, p, True)[-1] >= n + p for n, k, s, p in windows):
            ceil = False  # a window outside of the image is refused
        text = f"{keyword} {self.kernel(*kernel)}"
        text += self.option(("/", "stride="), *stride) if stride != [1, 1] else ""
        text += self.option(("p=", "pad="), *pad) if pad != [0, 0] else ""
        text += ", ceil" if ceil else ""
        text += self.one_of("", ", exclude_pad") if keyword == "avgpool" else ""
        return text, (image[0], *(len(starts(n, k, s, p, ceil)) for n, k, s, p in windows))

    # Ops

    def keeping(self, shape: Shape) -> str:
        """An op that keeps the shape."""
        if len(shape) == 1:
            return self.one_of(*ANYWHERE)
        more = [f"groupnorm {self.one_of(*divisors(shape[0]))}, eps=0.1", "identity"]
        more += [] if shape[1:] != (1, 1) else ["channelconv", "channelconv kernel=5", "channelconv channels=64"]
        return self.one_of(*ANYWHERE, *IMAGE_ALONE, *more)

    def op(self, shape: Shape) -> Cell:
        if len(shape) == 1:
            return self.vector_op(shape)
        channels, *extents = shape
        match self.one_of("keep", "pool", "conv", "blur", "pad", "gap", "vector"):
            case "pool":
                return self.pooling(shape)
            case "conv":
                text, out = self.conv(shape)
                return f"conv {text}", out
            case "blur" if min(extents) > 1:
                if self.rarely():
                    return "blurpool", (channels, *strided(extents, 2, 2))
                stride = (self.upto(3), self.upto(3))
                slash = self.option(("/", "stride="), *stride)
                return f"blurpool{slash[1:]}", (channels, *strided(extents, *stride))
            case "pad":
                stride = (self.upto(2), self.upto(2))
                out = channels + self.upto(4, 0)
                slash = self.option(("/", "stride="), *stride)
                text = f"channelpad {self.number(out)}{slash}{self.one_of('', ', both')}"
                return text, (out, *strided(extents, *stride))
            case "gap":
                return "gap", (channels, 1, 1)
            case "vector":
                return self.vector_op(shape)
        return self.keeping(shape), shape

    def vector_op(self, shape: Shape) -> Cell:
        size = 1
        for extent in shape:
            size *= extent
        units = self.upto(10)
        fc = f"fc {self.number(units)}{self.one_of('', ', bias', ', bias=0')}"
        cells: list[Cell] = [(fc, (units,)), (f"fc units={units}", (units,)), ("flatten", (size,))]
        if len(shape) == 1:
            cells += [(self.one_of(*ANYWHERE), shape)] * 3
        return self.one_of(*cells)
