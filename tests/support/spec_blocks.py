"""Brackets, stacks and blocks that fit, drawn by hypothesis: the cells of a row that are repeated and take a stride."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from support.spec_writer import MOST, Cell, Shape, Writer, divisors, strided

Index: TypeAlias = int | None
"""What $index is; None: not the same each time."""


@dataclass(frozen=True)
class Block:
    """A body, and what it does to a shape that it fits, by its stride and its $index."""

    text: str
    output: Callable[[Shape, int, Index], Shape]
    fits: Callable[[Shape, int, Index], bool] = lambda shape, stride, index: len(shape) == 3


def block_cell(w: Writer, image: Shape, index: int) -> tuple[str, Shape, int]:
    """In a row: with its repetition, its stride and the $index behind it. Those that do not fit are taken back."""
    stride = w.upto(3) if w.rarely() else 1
    repeat = w.upto(3) if w.rarely() else 1
    block = w.one_of(bracket, stack, library_block, own_block, growing)(w, image, index)
    if not block.fits(image, stride, index):
        stride = 1
    if not block.fits(image, stride, index):
        block = stack(w, image, index)
    shape, done = block.output(image, stride, index), 1
    while done < repeat and block.fits(shape, 1, index + done):
        shape = block.output(shape, 1, index + done)
        done += 1
    times = f" x {w.number(done)}" if done > 1 else w.one_of("", "", " x1")
    slash = f" /{w.number(stride)}" if stride > 1 else w.one_of("", "", " / 1")
    return f"{block.text}{times}{slash}", shape, index + done


def inner_block(w: Writer, image: Shape) -> Cell:
    """In a bracket, a stack or a block."""
    block = w.one_of(stack, bracket, library_block)(w, image, None)
    if not block.fits(image, 1, None):
        block = stack(w, image, None)
    return block.text, block.output(image, 1, None)


# Brackets and stacks


def same_unit(w: Writer, image: Shape, known: int = 1, out: int = 0, kernel: str = "") -> Cell:
    """A unit that keeps the size at stride 1. `known`: its channels, if they are the same in each repetition."""
    groups = w.one_of(*divisors(known)) if not out and w.rarely() else 1
    channels = out or groups * w.upto(max(1, MOST // groups))
    text = f"{kernel or w.one_of('3x3', '1x1', '1x3', '5x1')}, {w.number(channels)}"
    text += f", C={groups}" if groups > 1 else ""
    text += w.one_of("", "", ", d=2", ", d=1x2", ", bias", ", linear")
    return text, (channels, *image[1:])


def items(w: Writer, image: Shape) -> tuple[list[str], Shape]:
    """Bodies that keep the size, a unit first."""
    text, shape = same_unit(w, image, kernel="3x3")
    texts = [text]
    for _ in range(w.upto(2, 0)):
        match w.one_of("unit", "unit", "op", "block"):
            case "unit":
                text, shape = same_unit(w, shape, known=shape[0])
            case "op":
                text = w.keeping(shape)
            case _:
                text, shape = inner_block(w, shape)
        texts.append(text)
    return texts, shape


def bracket(w: Writer, image: Shape, index: Index) -> Block:
    """The main branch's last unit has channels that the shortcut can come together with."""
    texts, shape = items(w, image)
    out = w.one_of(image[0], 2 * image[0], w.upto(MOST))
    texts.append(same_unit(w, shape, out=out, kernel="3x3")[0])
    texts += [w.one_of("relu", "sigmoid", "batchnorm")] if w.rarely() else []
    if index is not None and w.rarely():  # an inner one would take the stride a second time
        texts[0] += ", /$stride"
    return residual(w, f"[{'; '.join(texts)}]", out)


def residual(w: Writer, text: str, out: int) -> Block:
    """What consists of one bracket."""
    return Block(
        text,
        lambda shape, stride, index: w.brackets.output(shape, out, stride),
        lambda shape, stride, index: w.brackets.takes(shape, out, stride),
    )


def plain(text: str, out: int) -> Block:
    """What has so many channels and takes any stride."""
    return Block(text, lambda shape, stride, index: (out, *strided(shape[1:], stride)))


def keeping(text: str) -> Block:
    """What takes no stride and keeps the shape."""
    return Block(text, lambda shape, stride, index: shape, lambda shape, stride, index: stride == 1)


def stack(w: Writer, image: Shape, index: Index) -> Block:
    texts, shape = items(w, image)
    if index is not None and w.rarely():
        texts.insert(0, w.one_of("maxpool 3x3, /$stride, p=1", "avgpool 3x3, /$stride, p=1"))
    return plain(f"({'; '.join(texts)})", shape[0])


def growing(w: Writer, image: Shape, index: Index) -> Block:
    """Channels by $in or by $index."""
    if index is None or w.rarely():
        return Block("(3x3, $in + 2)", lambda shape, stride, index: (shape[0] + 2, *strided(shape[1:], stride)))
    return Block(
        "(3x3, 4 + 2 * $index; relu)",
        lambda shape, stride, index: (4 + 2 * (index or 0), *strided(shape[1:], stride)),
    )


# Blocks by name


def library_block(w: Writer, image: Shape, index: Index) -> Block:
    if not w.libraries:
        return stack(w, image, index)
    makers = [*STD, *(PREACT if "preact" in w.libraries else ()), *(TIMM if "timm" in w.libraries else ())]
    return w.one_of(*makers)(w, image, index)


def _basic(w: Writer, image: Shape, index: Index) -> Block:
    width = w.one_of(image[0], w.upto(MOST))
    more = w.one_of("", ", 2", ", dilation=2, se=1", ", se=4") if "timm" in w.libraries else ""
    return residual(w, f"basic({w.one_of('', 'width=') if not more else ''}{w.number(width)}{more})", width)


def _bottleneck(w: Writer, image: Shape, index: Index) -> Block:
    if "timm" in w.libraries:
        width = w.upto(2)
        more = w.one_of("", ", groups=2", ", base=128", ", 2, 64, 4", ", dilation=2")
        return residual(w, f"bottleneck({w.number(width)}{more})", 4 * width)
    width, expansion = w.upto(3), w.upto(3)
    more = w.one_of("", ", groups=2, base=128", ", base=128")
    wider = f"{w.one_of('', 'expansion=')}{expansion}"
    return residual(w, f"bottleneck({w.number(width)}, {wider}{more})", width * expansion)


def _se(w: Writer, image: Shape, index: Index) -> Block:
    return keeping(f"se({w.one_of('', 'ratio=')}{w.one_of(*divisors(image[0]))})")


def _preact(w: Writer, image: Shape, index: Index) -> Block:
    kind = w.one_of("basic", "bottleneck", "basic_split", "bottleneck_split")
    width = w.one_of(image[0], w.upto(MOST)) if "basic" in kind else w.one_of(4, 8)
    text = f"preact.{kind}({w.number(width)})"
    if "split" in kind:
        return plain(text, width)

    def output(shape: Shape, stride: int, index: Index) -> Shape:
        same = stride == 1 and shape[0] == width
        return w.brackets.output(shape, width) if same else (width, *strided(shape[1:], stride))

    return Block(text, output)


def _antialiased(w: Writer, image: Shape, index: Index) -> Block:
    """Its average rounds down, so that the shortcut agrees only where nothing is rounded."""
    width = w.upto(2)
    text, out = w.one_of((f"basic.aa({width}", width), (f"bottleneck.aa({width}", 4 * width))
    block = residual(w, text + w.one_of(")", ", se=2)", ", dilation=2)"), out)
    whole = lambda shape, stride: all(extent % stride == 0 for extent in shape[1:])  # noqa: E731
    return Block(block.text, block.output, lambda *args: whole(*args[:2]) and block.fits(*args))


def _dilated(w: Writer, image: Shape, index: Index) -> Block:
    """The shortcut is the identity but in the first block of a row."""
    width = w.upto(2)
    text, out = w.one_of(
        (f"bottleneck.dilated({width})", 4 * width),
        (f"basic.dilated({image[0]}, dilation=4)", image[0]),
        (f"shortcut.dilated({image[0]})", image[0]),
        (f"basic.dilated({width}, se=1)", width),
    )
    return Block(
        text,
        lambda shape, stride, index: (out, *shape[1:]),
        lambda shape, stride, index: stride == 1 and (index == 0 or shape[0] == out),
    )


def _averaged(w: Writer, image: Shape, index: Index) -> Block:
    return Block(
        w.one_of("antialias()", "antialias(1)"),
        lambda shape, stride, index: (shape[0], shape[1] // stride, shape[2] // stride),
        lambda shape, stride, index: min(shape[1:]) >= stride,
    )


def _attention(w: Writer, image: Shape, index: Index) -> Block:
    return keeping(w.one_of("eca()", "eca(channels=64)", "attention(0)", "attention(2)"))


Maker: TypeAlias = Callable[[Writer, Shape, Index], Block]
STD: tuple[Maker, ...] = (_basic, _bottleneck, _se)
PREACT: tuple[Maker, ...] = (_preact, _preact)
TIMM: tuple[Maker, ...] = (_antialiased, _dilated, _averaged, _attention)


# A spec's own


def own_block(w: Writer, image: Shape, index: Index) -> Block:
    """A new block for each call."""
    return w.one_of(_own_body, _own_merged, _own_gate, _own_choice, _own_vectors)(w, image, index)


def _define(w: Writer, yaml: str, *arguments: str) -> str:
    name = f"own{len(w.blocks)}"
    w.blocks[name] = yaml
    return f"{name}({', '.join(arguments)})"


def _own_body(w: Writer, image: Shape, index: Index) -> Block:
    width, factor = w.upto(4), w.upto(2)
    body = w.one_of("(3x3, $inner; 3x3, $outer)", "3x3, $inner | 1x1, $outer", "(3x3, $inner) x2 | 3x3, $outer")
    yaml = (
        "{params: {width: null, factor: '1 + 1'}, "
        f"let: {{inner: $width * $factor, outer: $inner if $factor else 1}}, body: '{body}'}}"
    )
    return plain(_define(w, yaml, str(width), f"factor={w.number(factor)}"), width * factor)


def _own_merged(w: Writer, image: Shape, index: Index) -> Block:
    merge, out = w.one_of("add", "concat", "mul"), w.upto(4)
    branches = [
        f"3x3, {out}",
        w.one_of(f"1x1, {out}, linear", f"(1x1, {out} * 2; 3x3, {out})", f"3x3, {out}, bare | relu | softmax"),
        f"{w.one_of('maxpool', 'avgpool')} 3x3, /$stride, p=1 | 1x1, {out}",
    ][: 2 if merge == "mul" else w.upto(3, 2)]
    listed = ", ".join(f"b{number}: '{branch}'" for number, branch in enumerate(branches))
    after = w.one_of("", ", after: act", ", after: 'norm | act'", ", after: lrn")
    total = out * len(branches) if merge == "concat" else out
    return plain(_define(w, f"{{branches: {{{listed}}}, merge: {merge}{after}}}"), total)


def _own_gate(w: Writer, image: Shape, index: Index) -> Block:
    sides = ["x: " + w.one_of("identity", "'3x3, $in'"), "gate: 'gap | conv 1x1, $in, bias | sigmoid'"]
    listed = ", ".join(w.one_of(sides, sides[::-1]))
    return keeping(_define(w, f"{{branches: {{{listed}}}, merge: mul}}"))


def _own_choice(w: Writer, image: Shape, index: Index) -> Block:
    out = w.upto(4)
    cases = [
        f"{{if: '$stride == 1 and $in == {out}', then: {w.one_of('relu', 'identity')}}}",
        f"{{if: '$index == 0 or $in > {out}', then: '3x3, {out}'}}",
        f"{{then: '1x1, {out}, linear'}}",
    ]
    return plain(_define(w, f"{{choose: [{', '.join(cases)}]}}"), out)


def _own_vectors(w: Writer, image: Shape, index: Index) -> Block:
    """An image becomes a vector."""
    merge, units = w.one_of("add", "mul", "concat"), w.upto(4)
    after = w.one_of("", ", after: batchnorm", ", after: relu")
    branches = f"a: 'gap | fc {units}', b: 'fc {units}, bias=0 | sigmoid'"
    total = 2 * units if merge == "concat" else units
    return Block(
        _define(w, f"{{branches: {{{branches}}}, merge: {merge}{after}}}"),
        lambda shape, stride, index: (total,),
        lambda shape, stride, index: stride == 1 and len(shape) == 3,
    )
