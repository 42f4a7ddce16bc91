"""A network: its spec, the graph that the spec expands to, and its models in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from resnetgen import __version__
from resnetgen.arguments import (
    named_arguments,
    require_input_size,
    require_instance,
    require_params,
    require_path,
    require_text,
)
from resnetgen.errors import (
    SEVERITY,
    Code,
    Failure,
    LimitError,
    Problem,
    SpecError,
    UsageError,
)
from resnetgen.expand import expand
from resnetgen.expand.builder import MAX_NODES
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.format_options import FormatOptions, format_values
from resnetgen.formats.registry import Request, find
from resnetgen.ir.graph import Graph
from resnetgen.progress import Quiet
from resnetgen.spec.find import find_spec, short_path
from resnetgen.spec.load import load_block, load_file, load_text, option_value, parse_input_size
from resnetgen.spec.table import Spec
from resnetgen.staging.files import staging
from resnetgen.summary import Summary, summarise
from resnetgen.weights.names import NameMap, load_name_map
from resnetgen.weights.traced import TracedWeights

if TYPE_CHECKING:  # takes long to import, and is needed only for a model in memory
    from onnx import ModelProto


class Network(Struct, frozen=True):
    spec: Spec
    graph: Graph
    digest: str
    """SHA-256 of every file of the spec, of its parameters and of its input size."""

    @property
    def names(self) -> NameMap | None:
        return load_name_map(self.spec.names.text, self.spec.names.span) if self.spec.names else None

    def summary(self) -> Summary:
        """Return the table of the stages, with sizes, parameters, MACs and activations."""
        return summarise(self.spec, self.graph)

    @named_arguments
    def to_onnx(
        self,
        weights: TracedWeights,
        *,
        fold: bool = True,
        batch: int | None = None,
        opset: int | None = None,
        runtime: str | None = None,
        embed_preprocess: bool = False,
        input_name: str = "input",
        output_name: str = "output",
    ) -> ModelProto:
        """Return the ONNX model in memory: the bytes that a build with these options writes.

        The options are those of `resnetgen.save`. The model is read back and compared with the graph before it is
        returned. Raises UsageError, SpecError, ModelError, and LimitError for a model of 2 GB or more, which one
        message cannot hold.
        """
        options = {
            "fold": fold,
            "batch": batch,
            "opset": opset,
            "runtime": runtime,
            "embed_preprocess": embed_preprocess,
            "input_name": input_name,
            "output_name": output_name,
        }
        files = self._write("onnx", weights, options)
        if len(files) > 1:
            message = "an ONNX model of 2 GB or more is two files, and not one message"
            raise LimitError.of(Code.LIMIT, message, hint="resnetgen.save writes both")
        import onnx

        return onnx.load_from_string(next(iter(files.values())))

    @named_arguments
    def to_caffe(
        self, weights: TracedWeights, *, batch: int | None = None, dialect: str | None = None
    ) -> tuple[str, Any]:
        """Return the prototxt as text and the caffemodel as a NetParameter message.

        The options are those of `resnetgen.save`. Raises UsageError, SpecError, ModelError, and LimitError for
        weights of 2 GB or more.
        """
        from resnetgen.formats.caffe.model.schema import message

        files = self._write("caffe", weights, {"batch": batch, "dialect": dialect})
        model = message("NetParameter").FromString(files[f"{self.spec.stem}.caffemodel"])
        return files[f"{self.spec.stem}.prototxt"].decode(), model

    @named_arguments
    def to_prototxt(self, *, batch: int | None = None, dialect: str | None = None) -> str:
        """Return the prototxt as text. The options are those of `resnetgen.save`. Raises UsageError and SpecError."""
        from resnetgen.formats.caffe import write

        chosen = FormatOptions(**format_values({"batch": batch, "dialect": dialect}))
        reader = chosen.dialect or Dialect.BVLC
        return write.plan(self.graph, self.names, chosen.batch, with_weights=False, dialect=reader).text

    def request(self, weights: TracedWeights, options: FormatOptions, stem: str) -> Request:
        """Return the request to write this network in a format; `stem` is the base name of the files.

        Raises UsageError for weights of another network.
        """
        require_instance(weights, TracedWeights, "weights")
        weights.require_fit(self.graph)
        return Request(
            graph=self.graph,
            weights=weights,
            names=self.names,
            preprocess=self.spec.preprocess,
            stem=stem,
            options=options,
            metadata=lambda: self._metadata(weights.origin, options),
            late_metadata=weights.late_origin,
            late_bytes=weights.late_bytes,
        )

    def _write(self, format: str, weights: TracedWeights, options: Mapping[str, Any]) -> dict[str, bytes]:
        """Write the network in a format; return the files by name, with their content."""
        files = find(format).files(self.request(weights, FormatOptions(**format_values(options)), self.spec.stem))
        with TemporaryDirectory(prefix="resnetgen-") as folder, staging(Path(folder)) as stage:
            try:
                files.plan()
                files.write(stage, Quiet())
            finally:
                files.close()
            return {name: stage.path(name).read_bytes() for name in stage.outputs}

    def _metadata(self, origin: dict[str, str], options: FormatOptions) -> dict[str, str]:
        """Return a model's metadata: enough to build it again. Raises SpecError if preprocessing is to be embedded and
        the spec has none."""
        import numpy

        spec, embedded = self.spec, options.embed_preprocess
        if embedded and not spec.preprocess:
            hint = "add `preprocess:` to the spec; docs/spec-language.md lists its keys"
            message = f"of an image {spec.input} the spec says no preprocessing"
            raise SpecError.of(Code.MISSING_KEY, message, spec.span, hint)
        metadata = dict(origin)
        if spec.preprocess:
            metadata["resnetgen.preprocess"] = spec.preprocess.to_json()
        if embedded:
            metadata["resnetgen.embedded"] = "color divide mean std"
        if options.runtime:
            metadata["resnetgen.runtime"] = options.runtime.name
        return metadata | {
            "resnetgen.version": __version__,
            "resnetgen.spec": spec.name,
            "resnetgen.spec_sha256": self.digest,
            "resnetgen.input": str(spec.input),
            "resnetgen.params": json.dumps(spec.params, sort_keys=True),
            "resnetgen.numpy": numpy.__version__,
        }

    def __hash__(self) -> int:
        """Return the hash of the digest, which equal networks share; the parameters are a dict, which has no hash."""
        return hash(self.digest)

    def __repr__(self) -> str:
        counts = f"{self.graph.parameter_count:,} parameters, {self.graph.mac_count:,} MACs"
        params = "".join(f", {name}={value}" for name, value in self.spec.params.items())
        return f"<Network {self.spec.name}: input {self.spec.input}{params}, {len(self.graph.nodes)} nodes, {counts}>"

    def _repr_html_(self) -> str:
        """Return the summary as a table, which notebooks show."""
        return self.summary().to_html()


def load(spec: str | PathLike[str], *, input_size: str | None = None, **params: int | float) -> Network:
    """Return a network, by the name of a bundled spec or the path of a YAML file.

    `input_size`: one in place of the spec's own, such as 3x320x320. `params`: values of the spec's parameters,
    such as classes=10. Raises SpecError with every mistake found, FileError, LimitError, UsageError.
    """
    if not isinstance(spec, str):
        path = require_path(spec, "spec")
        if path.suffix not in (".yaml", ".yml"):
            raise UsageError.of(Code.BAD_ARGUMENT, f"spec: {path} does not end in .yaml")
        spec = fspath(path)
    return compile_spec(spec, require_params(params), input_size=require_input_size(input_size))


def parse(text: str, *, name: str = "network", input_size: str | None = None, **params: int | float) -> Network:
    """Return the network of a spec's text.

    `text`: YAML; `load` takes a path. `name`: name of the network. Files that the text extends or uses are searched for
    in the current folder. `input_size` and `params`: as in `load`. Raises SpecError with every mistake,
    FileError, LimitError, UsageError.
    """
    if require_text(text, "text").endswith((".yaml", ".yml")) and "\n" not in text:
        message = "text: the text of a spec is needed, not a path"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint="load takes a path")
    spec = load_text(text, require_text(name, "name"), require_params(params))
    return _network(_at(spec, require_input_size(input_size)), MAX_NODES)


def compile_spec(
    spec: str,
    params: dict[str, int | float] | None = None,
    max_nodes: int = MAX_NODES,
    input_size: str | None = None,
) -> Network:
    """Return the network of a spec, which is a path or a bundled name.

    `input_size`, such as 3x320x320, replaces the input size of the spec. Raises Failure.
    """
    path = find_spec(spec)
    loaded = load_file(path, params, shown=spec if spec.endswith(path.suffix) else short_path(path))
    return _network(_at(loaded, input_size), max_nodes)


def compile_block(row: str, input_size: str, max_nodes: int = MAX_NODES) -> Network:
    """Compile a row on its own: `compile_block("[3x3, 256; 3x3, 256]", "256x56x56")`. Raises Failure."""
    return _network(load_block(row, input_size), max_nodes)


def compile_all(
    specs: Sequence[str], params: dict[str, int | float], max_nodes: int, input_size: str | None
) -> list[Network]:
    """Compile every spec. Raises Failure with every problem of every spec."""
    networks: list[Network] = []
    problems: list[Problem] = []
    kinds: list[type[Failure]] = []
    for spec in specs:
        try:
            networks.append(compile_spec(spec, params, max_nodes, input_size))
        except Failure as failure:
            problems += failure.problems
            kinds.append(type(failure))
    if problems:
        raise max(kinds, key=SEVERITY.index)(tuple(dict.fromkeys(problems)))
    return networks


def _at(spec: Spec, input_size: str | None) -> Spec:
    return spec if input_size is None else spec.at(parse_input_size(option_value("--input", input_size)))


def _network(spec: Spec, max_nodes: int) -> Network:
    graph = expand(spec, max_nodes)
    parts = [*(source.text for source in spec.sources), repr(sorted(spec.params.items())), str(spec.input)]
    return Network(spec, graph, sha256("\0".join(parts).encode()).hexdigest())
