"""The Python API: load -> expand -> passes -> emit -> validate -> publish."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from resnetgen.errors import Code, Exit, Failure, Problem, fail
from resnetgen.expand import expand
from resnetgen.expand.builder import MAX_NODES
from resnetgen.job import Job
from resnetgen.options import Built, Compiled, Options, Progress, Quiet, Target
from resnetgen.spec.find import find_spec, short_path
from resnetgen.spec.load import given, input_size, load, load_block
from resnetgen.spec.table import Spec


def compile_spec(
    word: str, settings: dict[str, int | float] | None = None, max_nodes: int = MAX_NODES, image: str | None = None
) -> Compiled:
    """Return a spec, by path or bundled name, with its graph; `image` replaces its input size. Raises Failure."""
    path = find_spec(word)
    spec = load(path, settings, shown=word if word.endswith(path.suffix) else short_path(path))
    return _compiled(spec.at(input_size(given("--input", image))) if image else spec, max_nodes)


def compile_block(row: str, image: str) -> Compiled:
    """Compile a row on its own: `compile_block("[3x3, 256; 3x3, 256]", "256x56x56")`. Raises Failure."""
    return _compiled(load_block(row, image), MAX_NODES)


def _compiled(spec: Spec, max_nodes: int) -> Compiled:
    graph = expand(spec, max_nodes)
    parts = [*(source.text for source in spec.sources), repr(sorted(spec.params.items())), str(spec.input)]
    return Compiled(spec, graph, sha256("\0".join(parts).encode()).hexdigest())


def compile_all(words: Sequence[str], options: Options) -> list[Compiled]:
    """Compile every spec. Raises Failure with every problem of every spec."""
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

    Everything that can be refused is refused before the first byte is written; the written files are read back and
    compared with the graph before they appear under their names. Raises Failure.
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
