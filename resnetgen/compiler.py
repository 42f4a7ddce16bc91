"""The Python API: load -> expand -> passes -> emit -> validate -> publish, and what a user does with the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    from resnetgen.verify import Network, Report, Settings, Subject
    from resnetgen.verify.origin import Origin
    from resnetgen.verify.run import Progress as Steps
    from resnetgen.weights.source import Array, Weights


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


@dataclass(frozen=True)
class Verified:
    """What is to be verified, and against what."""

    word: str
    """A spec whose files stand below `output_dir`, or the path of a model or a prototxt."""
    on: tuple[str, ...] = ()
    """The sides, as verify.words knows them; the first is what the others are held against. One alone is held against
    the reference: onnx's evaluator on the network as its spec says it."""
    against: str | None = None
    """Another side to hold them against."""
    output_dir: Path = Path("generated")
    params: dict[str, int | float] = field(default_factory=dict)
    weights: Path | None = None
    """The checkpoint that the files were built from, where they were."""
    save: Path | None = None
    """Where the outputs of the first side of `on` are to be written."""


def verify(given: Verified, settings: Settings, progress: Steps = lambda done, total: None) -> Report:
    """Run what was built, and compare it tensor by tensor. Raises Failure."""
    from resnetgen.verify import REFERENCE, open_side, verify_sides

    subject = _subject(given)
    words = list(given.on or ("opencv" if given.word.endswith(".prototxt") else "onnxruntime",))
    sides = [open_side(word, subject, settings) for word in words]
    against = given.against or (REFERENCE if len(words) == 1 else None)
    held = [open_side(against, subject, settings)] if against else []
    shown = sides[0].facts().file if len(sides) == 1 else subject.name
    save = (sides[0], given.save) if given.save else None
    preprocess = subject.network.preprocess if subject.network else None
    return verify_sides(shown, held + sides, settings, progress, save, preprocess)


def _subject(given: Verified) -> Subject:
    """The files, and the network that they should be: as it was when they were built."""
    from resnetgen.verify import Subject, origin

    if given.word.endswith((".onnx", ".prototxt")):
        path = Path(given.word)
        said = origin.of_onnx(path) if given.word.endswith(".onnx") else origin.of_caffe(path)
        found = _compiled_as(said.spec, said, given.params)
        return Subject(path.name, path.with_suffix(""), _network(found, said, given) if found else None)
    compiled = compile_spec(given.word, given.params)
    spec = compiled.spec
    stem = given.output_dir / spec.name / spec.stem
    build = f"resnetgen build {given.word} --output-dir {given.output_dir}"
    files = {kind: stem.with_name(f"{stem.name}.{kind}") for kind in ("onnx", "prototxt")}
    read = {"onnx": origin.of_onnx, "prototxt": origin.of_caffe}
    built = {kind: read[kind](path) for kind, path in files.items() if path.is_file()}
    # Only a model says what was --set.
    settings = dict(built["onnx"].params if "onnx" in built else {}) | given.params
    then = {kind: _compiled_as(given.word, said, settings) for kind, said in built.items()}
    stale = tuple(kind for kind, one in then.items() if one is None)
    # The reference's weights are those of the file that is run, where they have been drawn anew in between.
    kinds = sorted(built, reverse=set(given.on) == {"opencv"})
    network = next((_network(one, built[kind], given) for kind in kinds if (one := then[kind])), None)
    return Subject(given.word, stem, network or _network(compiled, None, given), build, stale)


def _network(compiled: Compiled, origin: Origin | None, given: Verified) -> Network:
    from resnetgen.verify import Network

    said = origin.weights if origin else {}
    return Network(compiled.graph, _weights(compiled, said, given.weights), compiled.names, compiled.spec.preprocess)


def _weights(compiled: Compiled, said: Mapping[str, str], path: Path | None) -> Weights:
    """Those that files should hold, by what they say of their origin; of files that are not built, those of a build."""
    drawn = Initialised(compiled.graph, int(said.get("seed", "0")), Init(said.get("init", Init.HE)))
    if path is None:
        return Missing(said["weights"]) if "weights" in said else drawn
    from resnetgen.pretrained import Source, load_pretrained

    reinit = tuple(filter(None, said.get("reinit", "").split(",")))
    read = load_pretrained(Source(path, reinit, allow_nonfinite=True), compiled.spec, compiled.graph, drawn)
    if (digest := said.get("weights_sha256")) and read.sha256 != digest:
        message = f"{path} is not the checkpoint that {said['weights']} was when the files were built"
        hint = f"that one's SHA-256 begins with {digest[:16]}, this one's with {read.sha256[:16]}"
        raise fail(Exit.VERIFICATION, Code.VERIFICATION, message, hint=hint)
    return read.weights


@dataclass(frozen=True)
class Missing:
    """The weights of a checkpoint that is not at hand: asking for any of them says so."""

    name: str

    def tensor(self, node: str, parameter: str) -> Array:
        hint = f"--weights {self.name}; or compare what was built with itself: --on onnxruntime --on opencv"
        message = f"these files hold the weights of {self.name}, which the reference needs as well"
        raise fail(Exit.VERIFICATION, Code.VERIFICATION, message, hint=hint)


def _compiled_as(word: str, origin: Origin, params: dict[str, int | float]) -> Compiled | None:
    """The spec of a file as it was when that was built; None where it cannot be found or has changed."""
    try:
        compiled = compile_spec(word, dict(origin.params) | params, image=origin.image)
    except (Failure, ValueError, TypeError):
        return None
    return compiled if compiled.digest == origin.digest else None


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
