"""The graph as text, for people and for golden files."""

from __future__ import annotations

from resnetgen.formats.registry import Files, Request
from resnetgen.ir.graph import Graph
from resnetgen.ir.text import dump
from resnetgen.progress import Progress
from resnetgen.staging.files import Staging
from resnetgen.weights.names import NameMap


class TextFormat:
    name = "ir"
    title = "IR"
    help = "the graph as text"
    dialects: tuple[str, ...] = ()
    is_model = False
    needs_weights = False

    def files(self, request: Request) -> TextFiles:
        return TextFiles(request)

    def check(self, graph: Graph, names: NameMap | None, dialect: str) -> None:
        """Accept every network."""


class TextFiles(Files):
    def __init__(self, request: Request) -> None:
        self._request = request

    def write(self, stage: Staging, progress: Progress) -> None:
        stage.write_text(f"{self._request.stem}.ir.txt", dump(self._request.graph))
