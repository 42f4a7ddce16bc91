"""Command resnetgen predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from resnetgen import ranges
from resnetgen.cli.group import main
from resnetgen.cli.options import FilePath, json_option
from resnetgen.cli.output import print_for_program, print_json, print_line
from resnetgen.cli.show import progress_bars

if TYPE_CHECKING:
    from pathlib import Path

    from resnetgen.predict import Prediction


@main.command()
@click.argument("folder", type=FilePath())
@click.argument("images", metavar="IMAGE...", type=FilePath(), nargs=-1, required=True)
@click.option("--output", metavar="NAME", help="The output that ranks classes, where the model has several.")
@click.option(
    "--top", type=click.IntRange(*ranges.TOP), default=5, show_default=True, help="How many classes of each image."
)
@click.option(
    "--batch",
    type=click.IntRange(*ranges.BATCH),
    help="Images at once.  [default: 8, or what the model is fixed at]",
)
@click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda", "auto"]),
    default="cpu",
    show_default=True,
    help="Where ONNX Runtime runs; cuda fails where any node ran elsewhere.",
)
@click.option(
    "--request", "as_request", is_flag=True, help="Print the request that asks a server the same, and classify nothing."
)
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
    """Classify image files with the model of FOLDER, which `build` or `deploy --server onnxruntime` wrote.

    An image that cannot be read is an error of its own, exit 5; the others are classified all the same. Without a
    labels.txt in FOLDER the classes are numbers, from 0.

    --request prints all images as one request of the v2 protocol, preprocessed, for `curl -d @request.json` against
    Triton, KServe or `resnetgen serve`.
    """
    from resnetgen.backends.onnxruntime import Device, Provider
    from resnetgen.predict import Classifier, read_folder, request
    from resnetgen.predict import predict as run

    if as_request and (as_json or batch):
        raise click.UsageError(f"--request has no {'--json' if as_json else '--batch'}: it is one batch, as JSON")
    if as_request:
        print_for_program(request(Classifier(read_folder(folder, output), Device()), images, top))
        return
    with progress_bars() as progress, progress.task("classifying", len(images)) as advance:
        classifier = Classifier(read_folder(folder, output), Device(Provider(provider)))
        result = run(classifier, images, top, batch, advance)
    if as_json:
        print_json([prediction.to_json() for prediction in result.found])
    else:
        for prediction in result.found:
            _print(prediction)
    if failure := result.failure():
        raise failure


def _print(prediction: Prediction) -> None:
    print_line(str(prediction.image))
    width = max(len(str(guess.number)) for guess in prediction.top)
    for guess in prediction.top:
        print_line(f"  {guess.probability:.4f}  {guess.number:>{width}}  {guess.label or ''}".rstrip())
