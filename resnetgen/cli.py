"""The command line: the only file that prints or exits."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from resnetgen import __version__

if TYPE_CHECKING:
    from resnetgen.job import Built, Options
    from resnetgen.summary import Summary
    from resnetgen.verify import Report

# Nothing else is imported up here: `--help` and usage errors answer at once.


class _Group(click.Group):
    """Turns every failure into its text and its exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        debug = "--debug" in sys.argv
        try:
            super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            _say("interrupted; nothing was left half-written")
            sys.exit(130)
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output has gone; there is no one to tell
            sys.exit(0)
        except Exception as error:
            _fail(error, debug)
        sys.exit(0)


def _fail(error: Exception, debug: bool) -> NoReturn:
    from resnetgen.errors import Code, Exit, Failure, Problem

    if debug:
        import traceback

        traceback.print_exc()
    if isinstance(error, Failure):
        _say(str(error))
        sys.exit(error.exit)
    hint = "this is a bug of resnetgen; --debug shows where. Please report it with the spec"
    _say(Problem(Code.BUG, f"{type(error).__name__}: {error}", hint=hint).render())
    sys.exit(Exit.BUG)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _setting(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, int | float]:
    """name=value pairs, the values numbers."""
    settings: dict[str, int | float] = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            settings[name] = float(value) if "." in value else int(value)
        except ValueError:
            equals = ""
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{text!r} is not of the form classes=10")
    return settings


_settings = click.option(
    "--set",
    "settings",
    callback=_setting,
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the spec: --set classes=10.",
)
_image = click.option(
    "--input",
    "image",
    metavar="CxHxW",
    help="An input in place of the spec's own; its size columns then do not count.",
)
_output_dir = click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    default=Path("generated"),
    show_default=True,
    help="The folder of outputs; each spec has one of its own below it.",
)
_provider = click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda", "auto"]),
    help="Where ONNX Runtime is to verify: cpu (the default), cuda, which fails where any node ran elsewhere, or auto.",
)
_dialect = click.option(
    "--dialect",
    type=click.Choice(["bvlc", "bvlc-1.0", "opencv"]),
    help="Who reads the Caffe files: BVLC's master (the default), its release 1.0, or OpenCV 4's importer.",
)
_max_nodes = click.option("--max-nodes", type=click.IntRange(1), default=20_000, show_default=True)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """One table in, two formats out, proven equal.

    Compiles the stage table of a ResNet paper, written as YAML, to Caffe and ONNX models. A SPEC is the path of a YAML
    file, or the name of a bundled one, such as resnet50.

    \b
    Exit codes: 0 done, 1 a difference was found, 2 usage, 3 spec, 4 weights or model file, 5 input or output,
    6 limit, 7 verification failed, 70 a bug.
    """


@main.command()
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@click.option(
    "--target",
    "targets",
    type=click.Choice(["onnx", "caffe", "ir"]),
    multiple=True,
    default=["onnx"],
    show_default=True,
    help="What to write; may be repeated. ir: the graph as text.",
)
@_output_dir
@click.option(
    "--init",
    type=click.Choice(["he", "random-stats"]),
    default="he",
    show_default=True,
    help="Initial weights; random-stats randomises norms and biases too, so that no fold can hide.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the initial weights.")
@click.option("--no-weights", is_flag=True, help="Write the prototxt without a caffemodel.")
@click.option("--no-fold", is_flag=True, help="Keep batch norms in the ONNX model instead of folding them.")
@click.option("--batch", type=click.IntRange(1), help="Fix the batch; else it is dynamic in ONNX and 1 in Caffe.")
@_dialect
@click.option("--opset", type=int, default=17, show_default=True, help="ONNX opset; the IR version follows from it.")
@click.option("--input-name", default="input", show_default=True, help="Of the ONNX model.")
@click.option("--output-name", default="output", show_default=True, help="Of the ONNX model.")
@_settings
@_image
@_provider
@click.option(
    "--verify",
    "verified",
    is_flag=True,
    help="Run the ONNX model before it is published, and hold it against a second engine.",
)
@_max_nodes
def build(specs: tuple[str, ...], verified: bool, **given: Any) -> None:
    """Compile specs and write <output-dir>/<name>/<stem>.{onnx,prototxt,caffemodel,ir.txt} and manifest.json."""
    from resnetgen.compiler import build as build_all

    provider = given.pop("provider")
    if provider and not verified:
        raise click.UsageError("--provider says where --verify runs the model; give both")
    if given["dialect"] and "caffe" not in given["targets"]:
        raise click.UsageError("--dialect says how Caffe files are written; add --target caffe")
    with _progress() as progress:
        built = build_all(specs, _options(given, (provider or "cpu") if verified else None), progress)
    for one in built:
        _print_built(one)


def _options(given: dict[str, Any], verify_on: str | None) -> Options:
    from resnetgen.job import Options, Target
    from resnetgen.targets.caffe.dialect import Dialect
    from resnetgen.weights.initialise import Init

    verify = None
    if verify_on:
        from resnetgen.runtimes.onnxruntime import Provider
        from resnetgen.verify import Settings

        verify = Settings(Provider(verify_on))
    return Options(
        targets=tuple(dict.fromkeys(map(Target, given["targets"]))),
        output_dir=given["output_dir"],
        init=Init(given["init"]),
        seed=given["seed"],
        weights=not given["no_weights"],
        fold=not given["no_fold"],
        batch=given["batch"],
        dialect=Dialect(given["dialect"] or "bvlc"),
        opset=given["opset"],
        input_name=given["input_name"],
        output_name=given["output_name"],
        settings=given["settings"],
        max_nodes=given["max_nodes"],
        image=given["image"],
        verify=verify,
    )


def _print_built(built: Built) -> None:
    if built.report:
        _print_report(built.report)
    for path, entry in built.files.items():
        print(f"{path}  {_size(entry.bytes)}  sha256 {entry.sha256[:16]}")


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    steps = min(3, (count.bit_length() - 1) // 10)
    return f"{count / 1024**steps:.1f} {('KiB', 'MiB', 'GiB')[steps - 1]}"


@main.command()
@click.argument("model", metavar="SPEC|MODEL.onnx")
@_output_dir
@_settings
@_provider
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Of the input, if it is dynamic.")
@click.option("--input-seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random input.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, min_open=True),
    default=1e-4,
    show_default=True,
    help="Largest difference, relative to a layer's largest value.",
)
@click.option("--layers", is_flag=True, help="Print every layer.")
@_json
def verify(model: str, output_dir: Path, as_json: bool, layers: bool, **given: Any) -> None:
    """Run a built ONNX model on ONNX Runtime and compare it, layer by layer, with onnx's reference evaluator.

    For a SPEC it is the model that `build` wrote; the reference is the network as the spec says it, with norms unfolded
    and weights drawn anew. For MODEL.onnx it is the same, if the bundled spec that the file names can be found, else
    the file itself.
    """
    from resnetgen import compiler
    from resnetgen.runtimes.onnxruntime import Provider
    from resnetgen.verify import Settings

    settings = Settings(Provider(given["provider"] or "cpu"), given["batch"], given["input_seed"], given["tolerance"])
    with _progress() as progress, progress.task("running the model twice", 0):
        report = compiler.verify(model, output_dir, given["settings"], settings)
    if as_json:
        _print_json(report.to_json())
    else:
        _print_report(report, layers)
    if not report.passed:
        raise report.failure()


def _print_report(report: Report, layers: bool = False) -> None:
    for layer in report.layers if layers else ():
        mark = " " if layer.error <= report.tolerance else "!"
        print(f"{mark} {layer.error:9.2e}  {layer.name}  {layer.place}")
    print(f"{report.model}: {'equal' if report.passed else 'DIFFERENT'}")
    print(f"  ran on     {report.provider}, batch {report.batch}")
    print(f"  against    {report.reference}")
    largest = report.largest
    print(f"  difference {largest.error:.1e} at most, in {largest.name} (of {len(report.layers)} tensors)")
    print(f"  tolerance  {report.tolerance:.0e} of each tensor's largest value")


@main.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--ignore-names", is_flag=True, help="Match layers by structure instead of by name.")
@click.option("--bytes", "as_bytes", is_flag=True, help="Compare the text, byte by byte.")
@_dialect
@_settings
@_image
@_json
def diff(a: str, b: str, ignore_names: bool, as_bytes: bool, as_json: bool, **given: Any) -> None:
    """Compare two networks by meaning: each a prototxt, or a SPEC. Exit 0: equal, 1: different.

    Defaults are filled in, the order of fields and in-place naming do not count, `input` equals an Input layer. Layers
    that resnetgen does not emit are compared as they are written. What only training uses (fillers, learning rates) is
    left out.
    """
    from resnetgen import compiler
    from resnetgen.targets.caffe.dialect import Dialect

    if as_bytes and (ignore_names or as_json):
        raise click.UsageError("--bytes goes with neither --ignore-names nor --json")
    written = compiler.AsCaffe(given["settings"], given["image"], Dialect(given["dialect"] or "bvlc"))
    if as_bytes:
        text = compiler.compare_text(a, b, written)
        print(text.rstrip("\n") or "equal, byte for byte")
        sys.exit(1 if text else 0)
    difference = compiler.compare(a, b, written, ignore_names)
    if as_json:
        _print_json(difference.to_json())
    else:
        print(difference.render())
    sys.exit(0 if difference.equal else 1)


@main.command()
@click.argument("spec", metavar="SPEC", required=False)
@click.option("--block", metavar="ROW", help='A row on its own, with --input: "[3x3, 256; 3x3, 256]".')
@_settings
@_image
@_max_nodes
@_json
def summary(
    spec: str | None, block: str | None, settings: Any, image: str | None, max_nodes: int, as_json: bool
) -> None:
    """Print the paper's table with computed sizes, parameters, MACs and activations."""
    from resnetgen.compiler import compile_block, compile_spec
    from resnetgen.summary import summarise

    if (spec is None) == (block is None):
        raise click.UsageError("give a SPEC, or --block with --input")
    if block is not None and image is None:
        raise click.UsageError("--block needs --input, such as 256x56x56")
    compiled = compile_block(block, image) if block and image else compile_spec(str(spec), settings, max_nodes, image)
    result = summarise(compiled.spec, compiled.graph)
    if as_json:
        _print_json(result.to_json())
    else:
        _print_summary(result)


def _print_summary(result: Summary) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    total = result.total
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    for name, footer in (("stage", "total"), ("output", ""), ("blocks", "")):
        table.add_column(name, footer, overflow="fold")
    exact = ("weights", "biases", "norm")
    rounded = {"macs": "MACs", "flops": "FLOPs", "activations": "activations"}
    for name in exact:
        table.add_column(name, f"{getattr(total, name):,}", justify="right", no_wrap=True)
    for name, label in rounded.items():
        table.add_column(label, _millions(getattr(total, name)), justify="right", no_wrap=True)
    for stage in result.stages:
        numbers = [f"{getattr(stage.counts, name):,}" for name in exact]
        numbers += [_millions(getattr(stage.counts, name)) for name in rounded]
        table.add_row(stage.name, stage.output, stage.blocks, *numbers)
    params = "".join(f", {name}={value}" for name, value in result.params.items())
    print(f"{result.title}: input {result.input}{params}, {result.nodes} nodes")
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 200
    with console.capture() as printed:
        console.print(table)
    print("\n".join(line.rstrip() for line in printed.get().splitlines() if line.strip()))
    print(f"{total.parameters:,} parameters, {total.macs:,} MACs, {total.flops:,} FLOPs")


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f} M"


@main.command("list")
@click.argument("pattern", required=False)
@_json
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--names", "only_names", is_flag=True, help="Print the names alone.")
def list_specs(pattern: str | None, as_json: bool, as_markdown: bool, only_names: bool) -> None:
    """List the bundled specs: parameters, MACs, input, and the targets that can say them.

    PATTERN is a part of the name, or a pattern such as "torchvision/*".
    """
    from resnetgen.catalogue import catalogue, markdown, matching
    from resnetgen.targets.caffe.dialect import Dialect

    if only_names:
        print(*matching(pattern or ""), sep="\n")
        return
    names = matching(pattern or "")
    if as_markdown:
        print(markdown(catalogue(names, tuple(Dialect))), end="")
        return
    if as_json:
        _print_json([entry.to_json() for entry in catalogue(names)])
        return
    width = max(map(len, names), default=0)
    for entry in catalogue(names):
        numbers = f"{entry.parameters:>13,} parameters  {entry.macs / 1e9:>7.3f} GMACs"
        print(f"{entry.name:<{width}}  {entry.input:>9}  {numbers}  {', '.join(entry.targets)}", flush=True)
    if not names:
        print(f"no bundled spec matches {pattern!r}", file=sys.stderr)


@main.command()
def schema() -> None:
    """Print the JSON Schema of specs, for editors."""
    from resnetgen.spec.schema import json_schema

    _print_json(json_schema())


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2))


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar on a terminal, which is gone when the work is done; silence in a pipe."""
    from resnetgen.job import Quiet

    if not sys.stderr.isatty():
        yield Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars)


class _Bars:
    def __init__(self, bars: Any) -> None:
        self.bars = bars

    @contextmanager
    def task(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        task = self.bars.add_task(what, total=total or None)
        yield lambda done: self.bars.advance(task, done)
        self.bars.remove_task(task)


def run() -> None:
    """The program. A short process needs what it makes until it ends: looking for garbage, above all on the way out,
    would be a tenth of a build's time."""
    gc.disable()
    try:
        main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    run()
