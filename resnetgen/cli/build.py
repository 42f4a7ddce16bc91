"""resnetgen build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import (
    dialect_option,
    image_option,
    max_nodes_option,
    nonfinite_option,
    output_dir_option,
    provider_option,
    reinit_option,
    settings_option,
)
from resnetgen.cli.show import progress_bars, say_warnings, size
from resnetgen.cli.verify import print_report

if TYPE_CHECKING:
    from resnetgen.job import Built, Options


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
@output_dir_option
@click.option(
    "--init",
    type=click.Choice(["he", "random-stats"]),
    default="he",
    show_default=True,
    help="Initial weights; random-stats randomises norms and biases too, so that no fold can hide.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the initial weights.")
@click.option(
    "--weights",
    "pretrained",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A checkpoint: caffemodel, .safetensors, .pth, .onnx or .npz, told by its content.",
)
@reinit_option
@nonfinite_option
@click.option("--num-classes", type=click.IntRange(1), help="The same as --set classes=N.")
@click.option("--no-weights", is_flag=True, help="Write the prototxt without a caffemodel.")
@click.option("--no-fold", is_flag=True, help="Keep batch norms in the ONNX model instead of folding them.")
@click.option("--batch", type=click.IntRange(1), help="Fix the batch; else it is dynamic in ONNX and 1 in Caffe.")
@dialect_option
@click.option("--opset", type=int, default=17, show_default=True, help="ONNX opset; the IR version follows from it.")
@click.option(
    "--embed-preprocess",
    is_flag=True,
    help="Let the ONNX model take bytes, N x height x width x RGB, and do the spec's colour, scale, mean and std.",
)
@click.option("--input-name", default="input", show_default=True, help="Of the ONNX model.")
@click.option("--output-name", default="output", show_default=True, help="Of the ONNX model.")
@settings_option
@image_option
@provider_option
@click.option(
    "--verify",
    "verified",
    is_flag=True,
    help="Run the ONNX model before it is published, and hold it against a second engine.",
)
@max_nodes_option
def build(specs: tuple[str, ...], verified: bool, **given: Any) -> None:
    """Compile specs and write <output-dir>/<name>/<stem>.{onnx,prototxt,caffemodel,ir.txt} and manifest.json."""
    from resnetgen.compiler import build as build_all

    provider = given.pop("provider")
    if provider and not verified:
        raise click.UsageError("--provider says where --verify runs the model; give both")
    if given["dialect"] and "caffe" not in given["targets"]:
        raise click.UsageError("--dialect says how Caffe files are written; add --target caffe")
    if given["embed_preprocess"] and set(given["targets"]) != {"onnx"}:
        message = "--embed-preprocess is for --target onnx alone; Caffe's is said in <stem>.preprocess.json"
        raise click.UsageError(message)
    if given["pretrained"] and given["no_weights"]:
        raise click.UsageError("--weights and --no-weights contradict each other")
    if (given["reinit"] or given["allow_nonfinite"]) and not given["pretrained"]:
        raise click.UsageError("--reinit and --allow-nonfinite say what to take from --weights; give it, too")
    if given["pretrained"] and len(specs) > 1:
        raise click.UsageError("a checkpoint is of one network: give one SPEC with --weights")
    if count := given.pop("num_classes"):
        given["settings"]["classes"] = count
    with progress_bars() as progress:
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
    pretrained = None
    if given["pretrained"]:
        from resnetgen.pretrained import Source

        pretrained = Source(given["pretrained"], given["reinit"], given["allow_nonfinite"])
    return Options(
        targets=tuple(dict.fromkeys(map(Target, given["targets"]))),
        output_dir=given["output_dir"],
        init=Init(given["init"]),
        seed=given["seed"],
        weights=not given["no_weights"],
        pretrained=pretrained,
        fold=not given["no_fold"],
        batch=given["batch"],
        dialect=Dialect(given["dialect"] or "bvlc"),
        opset=given["opset"],
        embed_preprocess=given["embed_preprocess"],
        input_name=given["input_name"],
        output_name=given["output_name"],
        settings=given["settings"],
        max_nodes=given["max_nodes"],
        image=given["image"],
        verify=verify,
    )


def _print_built(built: Built) -> None:
    say_warnings(built.warnings)
    if built.report:
        print_report(built.report)
    for path, entry in built.files.items():
        print(f"{path}  {size(entry.bytes)}  sha256 {entry.sha256[:16]}")
