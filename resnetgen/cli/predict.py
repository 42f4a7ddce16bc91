"""Command resnetgen predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from resnetgen import ranges
from resnetgen.cli.group import main
from resnetgen.cli.options import FILE_PATH, json_option
from resnetgen.cli.output import print_for_program, print_json, print_line
from resnetgen.cli.progress import progress_bars

if TYPE_CHECKING:
    from pathlib import Path

    from resnetgen.predict import Prediction


@main.command(in_child=True)
@click.argument("folder", type=FILE_PATH)
@click.argument("images", metavar="IMAGE...", type=FILE_PATH, nargs=-1, required=True)
@click.option("--output", metavar="NAME", help="Output that ranks the classes, if the model has several.")
@click.option(
    "--top",
    type=click.IntRange(*ranges.TOP),
    default=5,
    show_default=True,
    metavar="N",
    help="Number of classes to print for each image.",
)
@click.option(
    "--batch",
    type=click.IntRange(*ranges.BATCH),
    metavar="N",
    help="Images in a batch.  [default: 8, or the model's own if it is fixed]",
)
@click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda", "auto"]),
    default="cpu",
    show_default=True,
    help="Where ONNX Runtime runs: cpu, cuda, which fails if any node ran elsewhere, or auto.",
)
@click.option("--request", "as_request", is_flag=True, help="Print a request for a server instead of classifying.")
@json_option
def predict(
    folder: Path,
    images: tuple[Path, ...],
    output: str | None,
    top: int,
    batch: int | None,
    provider: str,
    as_request: bool,
    as_json: bool,
) -> None:
    """Classify images with a model.

    FOLDER holds a model that `build` or `deploy --server onnxruntime` wrote. The classes are the lines of its
    labels.txt, or numbers from 0 without one. An IMAGE that cannot be read is an error (exit code 5); the others are
    classified.

    --request prints one request of the v2 protocol with all images, preprocessed: for `curl -d @request.json` to
    Triton, KServe or `resnetgen serve`.
    """
    from resnetgen.backends.onnxruntime import Device, Provider
    from resnetgen.predict import Classifier, read_folder, request
    from resnetgen.predict import predict as classify

    if as_request and (as_json or batch):
        option = "--json" if as_json else "--batch"
        raise click.UsageError(f"--request prints one batch as JSON; leave out {option}")
    if as_request:
        print_for_program(request(Classifier(read_folder(folder, output), Device()), images, top))
        return
    with progress_bars() as progress, progress.task("classifying", len(images)) as advance:
        classifier = Classifier(read_folder(folder, output), Device(Provider(provider)))
        result = classify(classifier, images, top, batch, advance)
    if as_json:
        print_json([prediction.to_json() for prediction in result.found])
    else:
        for prediction in result.found:
            _print(prediction)
    if failure := result.failure():
        raise failure


def _print(prediction: Prediction) -> None:
    print_line(str(prediction.image))
    width = max(len(str(ranked.number)) for ranked in prediction.top)
    for ranked in prediction.top:
        print_line(f"  {ranked.probability:.4f}  {ranked.number:>{width}}  {ranked.label or ''}".rstrip())
