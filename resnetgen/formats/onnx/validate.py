"""Translation validation: the written model is read back and compared with the graph and the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from resnetgen.errors import Failure, FileError
from resnetgen.formats.onnx.lift import lift
from resnetgen.formats.onnx.lift_preprocess import preprocess_differences
from resnetgen.formats.onnx.lifting import StoredWeight
from resnetgen.formats.onnx.lower import BATCH, initializer, output_names
from resnetgen.formats.onnx.model.read import OnnxModel, read_model
from resnetgen.formats.onnx.model.schema import IR_VERSIONS, ModelProto
from resnetgen.formats.onnx.write import OnnxOptions, OnnxPlan
from resnetgen.ir.canonical import differences
from resnetgen.ir.graph import Graph
from resnetgen.weights.sums import Sums
from resnetgen.wire.fields import Truncated


def validate(path: Path, graph: Graph, planned: OnnxPlan, options: OnnxOptions, checksums: dict[str, int]) -> list[str]:
    """Return the differences between the written model and the graph, options and checksums; empty if all agree."""
    try:
        model = read_model(path)
        with Sums() as sums:  # computed in threads while the structure is compared
            begun = {
                name: sums.begin(path.with_name(tensor.file or path.name), tensor.start, tensor.end)
                for name, tensor in model.tensors.items()
                if name in checksums
            }
            lines = (
                _network(model, graph, options) + _tensors(model, planned, checksums) + _stamps(model, planned, options)
            )
            changed = [name for name, check in begun.items() if check() != checksums[name]]
    except Truncated as error:
        return [str(error)]
    except Failure as failure:
        if isinstance(failure, FileError):
            raise  # a failing disk is not a fault of the file
        return [problem.message.removeprefix(f"{path}: ") for problem in failure.problems]
    return lines + [f"the weight {name} has changed" for name in changed]


def _network(model: OnnxModel, graph: Graph, options: OnnxOptions) -> list[str]:
    lifted = lift(model)
    called: dict[str, tuple[str, ...]] = {node.name: (node.name,) for node in graph.nodes}
    if not options.types.differ:
        called |= {node: (name,) for node, name in output_names(graph, options.names).items()}
    if not options.embed and not options.types.differ:
        called |= {graph.input.name: (options.names.input,)}
    lines = differences(graph, lifted.graph, called) + preprocess_differences(lifted.preprocess, options.embed)
    lines += [f"nothing depends on the node {name}" for name in lifted.unused]
    if (lifted.inner, lifted.outer) != (options.types.inner, options.types.outer):
        lines.append(f"it computes in {lifted.inner} and gives {lifted.outer}")
    for node in graph.nodes:
        expected = tuple(StoredWeight(initializer(node.name, parameter.name)) for parameter in graph.parameters(node))
        if lifted.weights.get(called[node.name][0], ()) != expected:
            lines.append(f"{node.name} has the weights of another node")
    return lines


def _tensors(model: OnnxModel, planned: OnnxPlan, checksums: Mapping[str, int]) -> list[str]:
    """Compare which tensors there are, how weights are stored, and the constants."""
    lines = [f"there is no weight {name}" for name in checksums if name not in model.tensors]
    constants = {one.name: one for one in planned.skeleton.graph.initializer}
    for name, tensor in model.tensors.items():
        if name in constants:
            if model.message(name) != constants[name]:
                lines.append(f"the constant {name} has changed")
        elif name not in checksums:
            lines.append(f"there is a weight {name} that no one wrote")
        elif tensor.is_list or bool(tensor.file) != planned.external or tensor.dtype != planned.kind.dtype.name:
            lines.append(f"the weight {name} is stored otherwise than planned")
        elif tensor.file and [one.key for one in model.message(name).external_data] != ["location", "offset", "length"]:
            lines.append(f"the weight {name} does not say where it lies")
    return lines + [f"there is no constant {name}" for name in constants if name not in model.tensors]


def _ir_version(options: OnnxOptions) -> int:
    """Return the oldest IR version that has the opset, or an older one that the runtime needs."""
    came_with = min(version for last, version in IR_VERSIONS if options.opset <= last)
    return min(came_with, options.runtime.ir) if options.runtime else came_with


def _stamps(model: OnnxModel, planned: OnnxPlan, options: OnnxOptions) -> list[str]:
    lines = []
    if model.opsets != {"": options.opset} or model.proto.ir_version != _ir_version(options):
        lines.append(f"opset {model.opsets} and IR version {model.proto.ir_version} are not what was asked for")
    if model.metadata != options.metadata | options.late_metadata():
        lines.append("the metadata differs")
    for value in (*model.inputs, *model.outputs, *model.values):
        batch, *extents = value.shape or [None]
        if batch != (options.batch or BATCH) or any(isinstance(extent, str) for extent in extents):
            lines.append(f"{value.name} is declared with another batch than was asked for, or with extents that vary")
    expected = ModelProto()
    expected.CopyFrom(planned.skeleton)
    expected.graph.ClearField("initializer")
    expected.MergeFrom(planned.stamp())
    if model.proto != expected:
        lines.append("the file says something else than was planned")
    return lines
