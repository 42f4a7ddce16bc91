"""Command resnetgen verify."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from resnetgen import ranges
from resnetgen.cli.group import main
from resnetgen.cli.options import (
    FILE_PATH,
    json_option,
    output_dir_option,
    params_option,
    provider_option,
    quiet_option,
)
from resnetgen.cli.output import print_json, print_line
from resnetgen.cli.progress import progress_bars
from resnetgen.cli.table import Table, print_wrapped

if TYPE_CHECKING:
    from resnetgen.verification import Comparison, Report, TensorDistance


def _parse_tolerances(
    _: click.Context, __: click.Parameter, texts: tuple[str, ...]
) -> tuple[float | None, dict[str, float]]:
    """Parse tolerances: 1e-4 for all, NAME=1e-3 for one. Raises a usage error for other texts."""
    default, named = None, {}
    for text in texts:
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


def _parse_provider_options(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Parse KEY=VALUE pairs. Raises a usage error for other texts."""
    for text in texts:
        if not text.partition("=")[0] or "=" not in text:
            raise click.BadParameter(f"{text!r} is not of the form device_id=1")
    return dict(text.split("=", 1) for text in texts)


@main.command(in_child=True)
@click.argument("model", metavar="SPEC|MODEL.onnx|NET.prototxt")
@click.option(
    "--on",
    metavar="BACKEND",
    multiple=True,
    help="Backend to compare: onnxruntime[:cpu|:cuda|:auto], opencv, reference, MODEL.onnx, "
    "NET.prototxt[:NET.caffemodel], or saved outputs, FILE.npz. May be repeated: the others are compared with the "
    "first. A single one is compared with the reference.",
)
@click.option("--against", metavar="BACKEND", help="Compare all of --on with this one.")
@output_dir_option
@params_option
@click.option(
    "--weights",
    type=FILE_PATH,
    metavar="FILE",
    help="Checkpoint that the files were built from; the reference takes its weights from it.",
)
@provider_option
@click.option(
    "--provider-option",
    "provider_options",
    callback=_parse_provider_options,
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the CUDA provider, such as device_id=1. TF32 is off unless use_tf32=1 is set. May be repeated.",
)
@click.option(
    "--batch",
    type=click.IntRange(*ranges.BATCH),
    multiple=True,
    metavar="N",
    help="Images in a batch; may be repeated.  [default: 1]",
)
@click.option(
    "--seeds",
    type=click.IntRange(*ranges.IMAGES),
    metavar="N",
    help="Number of random images.  [default: the batch size]",
)
@click.option(
    "--input-seed",
    type=click.IntRange(*ranges.SEED),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of the random images.",
)
@click.option(
    "--data",
    type=FILE_PATH,
    multiple=True,
    metavar="FILE",
    help="Images instead of random ones: a .npy or .npz file, as the network takes them, or a picture, which is "
    "preprocessed as the spec says. May be repeated.",
)
@click.option(
    "--tolerance",
    "tolerances",
    callback=_parse_tolerances,
    multiple=True,
    metavar="[NAME=]X",
    help="Largest difference allowed, as a fraction of a tensor's largest value; with NAME for this tensor only. May "
    "be repeated.  [default: 1e-4; for a model marked as fp16 1e-2, as int8 1e-1]",
)
@click.option("--save-outputs", type=FILE_PATH, metavar="FILE.npz", help="Write the outputs of the first --on.")
@click.option("--layers", is_flag=True, help="Print every layer, and where every node ran.")
@json_option
@quiet_option
def verify(model: str, as_json: bool, layers: bool, **values: Any) -> None:
    """Run a network on several backends and compare the layers.

    Exit code 7: they differ. For a SPEC, the files that `build` wrote are run: the .onnx on ONNX Runtime (the default),
    the .prototxt and .caffemodel on OpenCV. The reference computes the spec's network in float64 by the formulas of its
    ops, with its norms unfolded and its weights drawn again. For MODEL.onnx and NET.prototxt the spec is the bundled
    one that the file names; without one, the reference runs the file itself on onnx's reference evaluator.

    In a narrow terminal columns are left out, in this order: batch, engine; mean, tensors, top-5, images, batch,
    cosine, top-1; of --layers mean, cosine, at. --json has all.
    """
    from resnetgen.backends.onnxruntime import Provider
    from resnetgen.verification import Settings
    from resnetgen.verification import verify as verification

    default, named = values["tolerances"]
    provider = Provider(values["provider"] or "cpu")
    settings = Settings(
        provider,
        tuple(dict.fromkeys(values["batch"])),
        values["input_seed"],
        values["seeds"],
        values["data"],
        default,
        named,
        values["provider_options"],
    )
    verified = verification.Verified(
        model=model,
        backends=values["on"],
        against=values["against"],
        output_dir=values["output_dir"],
        params=values["params"],
        checkpoint=values["weights"],
        save=values["save_outputs"],
    )
    with progress_bars() as progress, progress.task("running the backends", 1000) as advance:
        shown = 0

        def step(done: int, total: int) -> None:
            nonlocal shown
            advance(1000 * done // total - shown)
            shown = 1000 * done // total

        report = verification.verify_files(verified, settings, step)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report, layers)
    if not report.passed:
        raise report.failure()


def print_report(report: Report, layers: bool = False) -> None:
    """Print the backends that ran; then, for each comparison, how much they differ."""
    print_line(f"{report.subject}: {'equal' if report.passed else 'DIFFERENT'}")
    table = Table("backend", "ran", "engine", "on", ">batch", optional=("batch", "engine"))
    for backend in report.backends:
        ran_on = ", ".join((backend.ran_on, *backend.notes))
        table.add_row(backend.name, backend.file, backend.engine, ran_on, str(backend.batch or "any"))
    table.print()
    print_line()
    for comparison in report.comparisons if layers else ():
        _print_layers(comparison)
    measures = (">difference", "in", ">mean", ">cosine", ">top-1", ">top-5")
    optional = ("mean", "tensors", "top-5", "images", "batch", "cosine", "top-1")
    against = f"against {report.backends[0].name}"
    table = Table(against, ">batch", ">images", ">tensors", *measures, optional=optional)
    for comparison in report.comparisons:
        table.add_row(*_comparison_row(comparison))
    table.print()
    print_line()
    for backend in report.backends:
        if backend.not_compared:
            tensors = "inner tensor is" if backend.not_compared == 1 else "inner tensors are"
            count = f"{backend.not_compared} {tensors} not compared"
            print_wrapped(f"{backend.name}: {count}: not float, or without the batch")
    print_wrapped(f"tolerance {report.tolerance:.0e} of each tensor's largest value; images: {report.inputs}")
    if layers:
        for backend in report.backends:
            for node, provider in backend.nodes.items():
                print_wrapped(f"{backend.name}: {node} on {provider}")


def _comparison_row(comparison: Comparison) -> Iterator[str]:
    largest = comparison.first_difference or comparison.largest
    yield from (comparison.backend.name, str(comparison.batch), str(comparison.images), str(len(comparison.layers)))
    yield from (f"{largest.error:.1e}", largest.name, f"{largest.mean:.1e}", f"{largest.cosine:.6f}")
    agreed = comparison.agreement
    yield from (f"{agreed.top1}/{agreed.images}", f"{agreed.top5}/{agreed.images}") if agreed else ("", "")


def _print_layers(comparison: Comparison) -> None:
    title = f"{comparison.backend.name}, batch {comparison.batch}"
    table = Table("", ">difference", ">mean", ">cosine", title, "at", "faults", optional=("mean", "cosine", "at"))
    for layer in comparison.layers:
        table.add_row(*_layer_row(layer))
    table.print()
    print_line()


def _layer_row(layer: TensorDistance) -> Iterator[str]:
    yield "" if layer.passed else "!"
    yield from (f"{layer.error:.1e}", f"{layer.mean:.1e}", f"{layer.cosine:.6f}", layer.name, layer.place)
    yield "; ".join(layer.faults)
