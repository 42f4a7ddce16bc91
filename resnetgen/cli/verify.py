"""Command resnetgen verify."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from resnetgen import ranges
from resnetgen.cli.group import main
from resnetgen.cli.options import FilePath, json_option, output_dir_option, provider_option, settings_option
from resnetgen.cli.output import print_json, print_line
from resnetgen.cli.show import Table, progress_bars

if TYPE_CHECKING:
    from resnetgen.verify import Comparison, Layer, Report


_WIDTH = 140
"""Width in characters of the tables: a narrower terminal wraps their lines, while rich would wrap each number."""


def _tolerances(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[float | None, dict[str, float]]:
    """Parse tolerances: 1e-4 for all, NAME=1e-3 for one. Raises a usage error for other texts."""
    default, named = None, {}
    for text in given:
        name, equals, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = 0
        if not 0 < number <= 1 or (equals and not name):
            raise click.BadParameter(f"{text!r} is not of the form 1e-4 or NAME=1e-3, more than 0 and at most 1")
        if equals:
            named[name] = number
        else:
            default = number
    return default, named


def _provider_options(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    for text in given:
        if not text.partition("=")[0] or "=" not in text:
            raise click.BadParameter(f"{text!r} is not of the form device_id=1")
    return dict(text.split("=", 1) for text in given)


@main.command()
@click.argument("model", metavar="SPEC|MODEL.onnx|NET.prototxt")
@click.option(
    "--on",
    metavar="SIDE",
    multiple=True,
    help="What is to be compared; may be repeated, and the first is what the others are held against: "
    "onnxruntime[:cpu|:cuda|:auto], opencv, reference, MODEL.onnx, NET.prototxt[:NET.caffemodel], or saved outputs, "
    "FILE.npz. One alone is held against the reference.",
)
@click.option("--against", metavar="SIDE", help="What they are held against instead.")
@output_dir_option
@settings_option
@click.option(
    "--weights",
    type=FilePath(),
    metavar="FILE",
    help="The checkpoint that the files were built from: the reference takes its weights from there.",
)
@provider_option
@click.option(
    "--provider-option",
    "provider_options",
    callback=_provider_options,
    multiple=True,
    metavar="KEY=VALUE",
    help="Of CUDA's provider: device_id=1. TF32 is off unless use_tf32=1 is given.",
)
@click.option(
    "--batch",
    type=click.IntRange(*ranges.BATCH),
    multiple=True,
    help="Images at once; may be repeated.  [default: 1]",
)
@click.option(
    "--seeds", type=click.IntRange(*ranges.IMAGES), help="How many random images.  [default: as many as the batch]"
)
@click.option(
    "--input-seed", type=click.IntRange(*ranges.SEED), default=0, show_default=True, help="Of the random images."
)
@click.option(
    "--data",
    type=FilePath(),
    multiple=True,
    metavar="FILE",
    help="Images instead of random ones, as the network takes them: .npy or .npz; may be repeated.",
)
@click.option(
    "--tolerance",
    "tolerances",
    callback=_tolerances,
    multiple=True,
    metavar="[NAME=]X",
    help="Largest difference, relative to a tensor's largest value: of all, or of one by its name.  "
    "[default: 1e-4; of a model that says fp16 1e-2, int8 1e-1]",
)
@click.option("--save-outputs", type=FilePath(), metavar="FILE.npz", help="Write the outputs of the first --on.")
@click.option("--layers", is_flag=True, help="Print every layer, and where every node ran.")
@json_option
def verify(model: str, as_json: bool, layers: bool, **given: Any) -> None:
    """Run a network on two engines or more, and compare what they compute, layer by layer. Exit 7: they differ.

    For a SPEC it is what `build` wrote: on ONNX Runtime (the default) the .onnx, on OpenCV the .prototxt and the
    .caffemodel. The reference is the spec's network, translated to ONNX anew with norms unfolded and weights drawn
    anew, on onnx's evaluator. For MODEL.onnx and NET.prototxt it is the same, if the bundled spec that they name can be
    found; else the .onnx itself.
    """
    from resnetgen.backends.onnxruntime import Provider
    from resnetgen.verify import Settings
    from resnetgen.verify import spec as verification

    default, named = given["tolerances"]
    provider = Provider(given["provider"] or "cpu")
    if given["provider_options"] and not (provider != "cpu" or any(side.endswith(":cuda") for side in given["on"])):
        raise click.UsageError("--provider-option is for CUDA; no side runs there: --on onnxruntime:cuda")
    settings = Settings(
        provider,
        tuple(dict.fromkeys(given["batch"])),
        given["input_seed"],
        given["seeds"],
        given["data"],
        default,
        named,
        given["provider_options"],
    )
    what = verification.Verified(
        word=model,
        on=given["on"],
        against=given["against"],
        output_dir=given["output_dir"],
        params=given["settings"],
        weights=given["weights"],
        save=given["save_outputs"],
    )
    with progress_bars() as progress, progress.task("running every side", 1000) as advance:
        shown = 0

        def step(done: int, total: int) -> None:
            nonlocal shown
            advance(1000 * done // total - shown)
            shown = 1000 * done // total

        report = verification.verify(what, settings, step)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report, layers)
    if not report.passed:
        raise report.failure()


def print_report(report: Report, layers: bool = False) -> None:
    """Print the backends that ran; then, for each comparison, how much they differ."""
    print_line(f"{report.subject}: {'equal' if report.passed else 'DIFFERENT'}")
    sides = Table("side", "ran", "engine", "on", ">batch")
    for side in report.sides:
        sides.add_row(
            side.name, side.file, side.engine, ", ".join((side.ran_on, *side.notes)), str(side.batch or "any")
        )
    sides.print(_WIDTH)
    print_line()
    for one in report.comparisons if layers else ():
        _print_layers(one)
    measures = (">difference", "in", ">mean", ">cosine", ">top-1", ">top-5")
    found = Table(f"against {report.sides[0].name}", ">batch", ">images", ">tensors", *measures)
    for one in report.comparisons:
        found.add_row(*_row(one))
    found.print(_WIDTH)
    print_line()
    for side in report.sides:
        if side.not_compared:
            tensors = "tensor inside is" if side.not_compared == 1 else "tensors inside are"
            print_line(f"{side.name}: {side.not_compared} {tensors} not compared: not float, or without the batch")
    print_line(f"tolerance {report.tolerance:.0e} of each tensor's largest value; images: {report.inputs}")
    if layers:
        for side in report.sides:
            for node, where in side.nodes.items():
                print_line(f"{side.name}: {node} on {where}")


def _row(one: Comparison) -> Iterator[str]:
    largest = one.first_difference or one.largest
    yield from (one.side.name, str(one.batch), str(one.images), str(len(one.layers)))
    yield from (_number(largest.error), largest.name, _number(largest.mean), f"{largest.cosine:.6f}")
    agreed = one.agreement
    yield from (f"{agreed.top1}/{agreed.images}", f"{agreed.top5}/{agreed.images}") if agreed else ("", "")


def _print_layers(one: Comparison) -> None:
    title = f"{one.side.name}, batch {one.batch}"
    listed = Table("", ">difference", ">mean", ">cosine", title, "at", "faults")
    for layer in one.layers:
        listed.add_row(*_layer_row(layer))
    listed.print(_WIDTH)
    print_line()


def _layer_row(layer: Layer) -> Iterator[str]:
    yield "" if layer.passed else "!"
    yield from (_number(layer.error), _number(layer.mean), f"{layer.cosine:.6f}", layer.name, layer.place)
    yield "; ".join(layer.faults)


def _number(value: float) -> str:
    return f"{value:.1e}"
