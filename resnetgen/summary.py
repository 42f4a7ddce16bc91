"""Summary of a network: its stage table with output sizes, parameters, MACs and activations."""

from __future__ import annotations

import html
from operator import add
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, astuple

from resnetgen.errors import Span
from resnetgen.escape import escape, plural
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import show
from resnetgen.spec.syntax import Cell
from resnetgen.spec.table import Row, Spec


class Counts(Struct, frozen=True):
    """Numbers of a stage, or of a network."""

    weights: int = 0
    """Elements in the weights of convolutions and fully connected layers."""
    biases: int = 0
    """Elements in their biases."""
    norm: int = 0
    """Elements in the gammas and betas of norms; running statistics are not parameters."""
    macs: int = 0
    """Multiply-accumulates of convolutions and fully connected layers, for one image."""
    activations: int = 0
    """Elements in the outputs of convolutions and fully connected layers, for one image."""

    @property
    def parameters(self) -> int:
        return self.weights + self.biases + self.norm

    @property
    def flops(self) -> int:
        """Floating-point operations: two for each MAC, a multiplication and an addition."""
        return 2 * self.macs

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(add, astuple(self), astuple(other)))

    def to_json(self) -> dict[str, int]:
        return {**asdict(self), "parameters": self.parameters, "flops": self.flops}


class Stage(Struct, frozen=True):
    name: str
    output: str
    """Output size: 256x56x56."""
    blocks: str
    """Cells of the row, as the spec has them."""
    counts: Counts


class Summary(Struct, frozen=True):
    name: str
    title: str
    input: str
    params: dict[str, int | float]
    nodes: int
    stages: tuple[Stage, ...]

    @property
    def total(self) -> Counts:
        return sum((stage.counts for stage in self.stages), Counts())

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "input": self.input,
            "params": self.params,
            "nodes": self.nodes,
            "stages": [
                {"name": s.name, "output": s.output, "blocks": s.blocks, **s.counts.to_json()} for s in self.stages
            ],
            "total": self.total.to_json(),
        }

    def __repr__(self) -> str:
        counts = f"{self.total.parameters:,} parameters, {self.total.macs:,} MACs"
        return f"<Summary {escape(self.name)}: {plural(len(self.stages), 'stage')}, {counts}>"

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """Return the table as HTML, for notebooks."""
        head = ("stage", "output", "blocks", "parameters", "MACs", "activations")
        rows = [(s.name, s.output, s.blocks, *_numbers(s.counts)) for s in self.stages]
        foot = ("total", "", "", *_numbers(self.total))
        caption = f"{self.title}: input {self.input}, {self.nodes} nodes"
        return (
            f"<table><caption>{html.escape(caption)}</caption>"
            f"<thead>{_html_row('th', head)}</thead>"
            f"<tbody>{''.join(_html_row('td', row) for row in rows)}</tbody>"
            f"<tfoot>{_html_row('th', foot)}</tfoot></table>"
        )


def _numbers(counts: Counts) -> tuple[str, ...]:
    return tuple(f"{number:,}" for number in (counts.parameters, counts.macs, counts.activations))


def _html_row(tag: str, cells: tuple[str, ...]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"


def summarise(spec: Spec, graph: Graph) -> Summary:
    """Return the summary of a spec. The counts come from the ops; this only adds them up by stage."""
    stages = []
    size = graph.shapes[graph.input.name]
    for row in spec.rows:
        nodes = [node for node in graph.nodes if node.path.stage == row.stage]
        size = graph.shapes[nodes[-1].name] if nodes else size
        counts = sum((_counts(graph, node) for node in nodes), Counts())
        stages.append(Stage(row.stage, show(size), _blocks(row), counts))
    return Summary(spec.name, spec.title, str(spec.input), spec.params, len(graph.nodes), tuple(stages))


def _counts(graph: Graph, node: Node) -> Counts:
    parameters = [p for p in graph.parameters(node) if p.trainable]
    macs = graph.macs(node)
    return Counts(
        weights=sum(p.size for p in parameters if p.name == "weight"),
        biases=sum(p.size for p in parameters if p.name == "bias"),
        norm=sum(p.size for p in parameters if p.name in ("gamma", "beta")),
        macs=macs,
        activations=_size(graph.shapes[node.name]) if macs else 0,
    )


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size


def _blocks(row: Row) -> str:
    return " | ".join(map(_cell, row.cells))


def _cell(cell: Cell) -> str:
    """Return the text of a cell in the spec; its repeat and stride may have come from a patch in another file."""
    text = _source_text(cell.body.span)
    if cell.repeat:
        text += f" x{_source_text(cell.repeat.span)}"
    if cell.stride:
        text += f" /{_source_text(cell.stride.span)}"
    return text


def _source_text(span: Span) -> str:
    return " ".join(span.source.text[span.start : span.end].split())
