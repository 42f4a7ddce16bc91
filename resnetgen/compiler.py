"""The Python API: load -> expand -> passes -> emit -> validate -> publish, and what a user does with the result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from resnetgen.errors import Code, Exit, Failure, Problem, fail
from resnetgen.expand import expand
from resnetgen.expand.builder import MAX_NODES
from resnetgen.job import Built, Compiled, Job, Options, Progress, Quiet, Target
from resnetgen.spec.find import find_spec, is_spec, short_path
from resnetgen.spec.load import given, input_size, load, load_block
from resnetgen.spec.table import Spec
from resnetgen.targets.caffe.dialect import Dialect
from resnetgen.weights.initialise import Init, Initialised

if TYPE_CHECKING:
    from resnetgen.diff.difference import Difference
    from resnetgen.diff.net import Net
    from resnetgen.targets.caffe.emit import CaffePlan
    from resnetgen.verify import Report, Settings


def compile_spec(
    word: str, settings: dict[str, int | float] | None = None, max_nodes: int = MAX_NODES, image: str | None = None
) -> Compiled:
    """A spec, by path or bundled name, as a graph; `image` is an input in place of its own. Raises Failure."""
    path = find_spec(word)
    spec = load(path, settings, shown=word if word.endswith(path.suffix) else short_path(path))
    return _compiled(spec.at(input_size(given("--input", image))) if image else spec, max_nodes)


def compile_block(row: str, image: str) -> Compiled:
    """A row on its own: `compile_block("[3x3, 256; 3x3, 256]", "256x56x56")`. Raises Failure."""
    return _compiled(load_block(row, image), MAX_NODES)


def _compiled(spec: Spec, max_nodes: int) -> Compiled:
    graph = expand(spec, max_nodes)
    parts = [*(source.text for source in spec.sources), repr(sorted(spec.params.items())), str(spec.input)]
    return Compiled(spec, graph, sha256("\0".join(parts).encode()).hexdigest())


def compile_all(words: Sequence[str], options: Options) -> list[Compiled]:
    """Every spec, or every problem of every spec."""
    compiled: list[Compiled] = []
    problems: list[Problem] = []
    worst = Exit.DONE
    for word in words:
        try:
            compiled.append(compile_spec(word, options.settings, options.max_nodes, options.image))
        except Failure as failure:
            problems += failure.problems
            worst = max(worst, failure.exit)
    if problems:
        raise Failure(worst, tuple(dict.fromkeys(problems)))
    return compiled


def build(words: Sequence[str], options: Options, progress: Progress | None = None) -> list[Built]:
    """Compile specs and write the files of every target.

    Everything that can be refused is refused before the first byte is written; what is written is read back and held
    against the graph before it appears under its name. Raises Failure.
    """
    if options.verify and Target.ONNX not in options.targets:
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, "there is no ONNX model to verify", hint="add --target onnx")
    if Target.ONNX in options.targets and not options.weights:
        hint = "leave out --no-weights, or --target onnx"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, "an ONNX model holds its weights; none is written without", hint=hint)
    jobs = [Job(compiled, options, progress or Quiet()) for compiled in compile_all(words, options)]
    for job, other in ((a, b) for i, a in enumerate(jobs) for b in jobs[:i]):
        if job.folder == other.folder:
            raise fail(Exit.USAGE, Code.BAD_ARGUMENT, f"two specs would be written to {job.folder}")
    jobs[0].begin()
    try:
        for job in jobs:
            job.plan()
        return [job.run() for job in jobs]
    finally:
        jobs[0].close()


def verify(word: str, output_dir: Path, params: dict[str, int | float], settings: Settings) -> Report:
    """Run a built model and hold it against its spec; against itself, where its spec cannot be found.

    `word` is a model's path, or a spec whose built model stands below `output_dir`. The weights of the reference are
    drawn as the model says that its own were. Raises Failure.
    """
    from resnetgen.targets.onnx.read import read_file
    from resnetgen.verify import verify_against_spec, verify_alone

    if word.endswith(".onnx"):
        path, spec = Path(word), None
    else:
        spec = compile_spec(word, params).spec
        path = output_dir / spec.name / f"{spec.stem}.onnx"
        if not path.is_file():
            hint = f"resnetgen build {word} --target onnx --output-dir {output_dir}"
            raise fail(Exit.IO, Code.MISSING_FILE, f"{path} has not been built", hint=hint)
    origin = {entry.key: entry.value for entry in read_file(path).model.metadata_props}
    compiled = _origin(word if spec else origin.get("resnetgen.spec", ""), origin, params)
    if compiled is None and spec is None:
        return verify_alone(path, settings)
    if compiled is None:
        hint = f"build it anew: resnetgen build {word}"
        raise fail(Exit.VERIFICATION, Code.VERIFICATION, f"{path} was built from another state of the spec", hint=hint)
    init, seed = Init(origin["resnetgen.init"]), int(origin["resnetgen.seed"])
    return verify_against_spec(path, compiled.graph, Initialised(compiled.graph, seed, init), settings)


def _origin(word: str, origin: dict[str, str], params: dict[str, int | float]) -> Compiled | None:
    """The spec of a model as it was when the model was built; None where it cannot be found or has changed."""
    try:
        built = json.loads(origin.get("resnetgen.params", "{}"))
        compiled = compile_spec(word, built | params, image=origin.get("resnetgen.input"))
    except (Failure, ValueError, TypeError):
        return None
    return compiled if compiled.digest == origin.get("resnetgen.spec_sha256") else None


@dataclass(frozen=True)
class AsCaffe:
    """How a spec is written as a prototxt, to be compared with another."""

    settings: dict[str, int | float] = field(default_factory=dict)
    image: str | None = None
    dialect: Dialect = Dialect.BVLC


def compare(a: str, b: str, written: AsCaffe, ignore_names: bool = False) -> Difference:
    """Hold two networks against each other by meaning; each is a spec or the path of a prototxt. Raises Failure."""
    from resnetgen.diff import compare as compare_nets

    return compare_nets(_net(a, written), _net(b, written), ignore_names)


def compare_text(a: str, b: str, written: AsCaffe) -> str:
    """The same, by the prototxts' text: a unified diff, empty where they are equal byte for byte."""
    from difflib import unified_diff

    old, new = (_prototxt(word, written).splitlines(keepends=True) for word in (a, b))
    return "".join(unified_diff(old, new, a, b))


def _net(word: str, written: AsCaffe) -> Net:
    from resnetgen.diff import prototxt

    if not is_spec(word):
        return prototxt.load(Path(word))
    compiled = compile_spec(word, written.settings, image=written.image)
    planned = _caffe_plan(compiled, written.dialect)
    places = {name: compiled.graph.by_name[node].span for node, names in planned.names.items() for name in names}
    return prototxt.parse(planned.text, word).placed(places)


def _prototxt(word: str, written: AsCaffe) -> str:
    from resnetgen.targets.caffe.text import read

    if not is_spec(word):
        return read(Path(word)).text
    return _caffe_plan(compile_spec(word, written.settings, image=written.image), written.dialect).text


def _caffe_plan(compiled: Compiled, dialect: Dialect) -> CaffePlan:
    from resnetgen.targets.caffe.emit import plan

    return plan(compiled.graph, compiled.names, batch=None, with_weights=False, dialect=dialect)
