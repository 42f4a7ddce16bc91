"""Path of a node: its place in the stage table as a value."""

from __future__ import annotations

from msgspec import Struct

_MAX_DIGITS = 9
"""Longest number of a block: names in files of others may have any number of digits."""


class NodePath(Struct, frozen=True):
    """Place of a node in its network, written `conv3_x/0/main/conv2`; only `parse` takes such a text apart.

    With an empty `unit` it is the place of a branch or a block, in which nodes are: `conv3_x/0/main/`.
    """

    stage: str | None
    """Row of the stage table; None for a node outside the table, such as the input."""
    block: int | None = None
    """Number of the block in its stage, counted from 0; None outside of blocks."""
    branch: tuple[str, ...] = ()
    """Names between block and unit, outermost first: `("main",)`; several for blocks within a branch."""
    unit: str = ""
    """Name of the op within its branch: `conv2`, `norm2`, `act2`, `add`."""

    @classmethod
    def parse(cls, text: str) -> NodePath:
        """Return the path that `str` writes as this text. Any text is a path: files of others name nodes freely."""
        *parts, unit = text.split("/")
        if not parts:
            return cls(None, unit=unit)
        stage, *branch = parts
        block = int(branch.pop(0)) if branch and _is_number(branch[0]) else None
        return cls(stage, block, tuple(branch), unit)

    def __str__(self) -> str:
        stage = () if self.stage is None else (self.stage,)
        block = () if self.block is None else (str(self.block),)
        return "/".join((*stage, *block, *self.branch, self.unit))

    def node(self, unit: str) -> NodePath:
        """Return the path of a node in this place."""
        return NodePath(self.stage, self.block, self.branch, unit)

    def within(self, name: str) -> NodePath:
        """Return the place of a branch, or of a block by its name, in this place."""
        return NodePath(self.stage, self.block, (*self.branch, name))

    def repetition(self, number: int) -> NodePath:
        """Return the place of a repeated block: the blocks of a stage are numbered, or those within a branch."""
        if self.block is None and not self.branch:
            return NodePath(self.stage, number)
        return self.within(str(number))


def _is_number(text: str) -> bool:
    """Return True for the text of a whole number as `str` writes it, so that no name changes."""
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and (text == "0" or text[0] != "0")
