"""Translation validation: the written model is read back and compared with the graph and the weights."""

from __future__ import annotations

from pathlib import Path

from resnetgen.errors import Exit, Failure
from resnetgen.formats.onnx.decode import read_graph
from resnetgen.formats.onnx.lower import BATCH, initializer, output_names
from resnetgen.formats.onnx.prelude import prelude_differences
from resnetgen.formats.onnx.read import OnnxFile, read_file
from resnetgen.formats.onnx.schema import ModelProto
from resnetgen.formats.onnx.write import OnnxOptions, OnnxPlan
from resnetgen.ir.canonical import differences
from resnetgen.ir.graph import Graph


def validate(path: Path, graph: Graph, planned: OnnxPlan, options: OnnxOptions, checksums: dict[str, int]) -> list[str]:
    """Return the differences between the written model and the graph, options and checksums; empty if all agree."""
    try:
        file = read_file(path)
        found = read_graph(file)
    except Failure as failure:
        if failure.exit is Exit.IO:
            raise  # a failing disk is not a fault of the file
        return [problem.message for problem in failure.problems]
    called: dict[str, tuple[str, ...]] = {node.name: (node.name,) for node in graph.nodes}
    if not options.types.differ:
        called |= {node: (name,) for node, name in output_names(graph, options.names).items()}
    if not options.embed and not options.types.differ:
        called |= {graph.input.name: (options.names.input,)}
    lines = differences(graph, found.graph, called) + prelude_differences(found.prelude, options.embed)
    if (found.casts.inner, found.casts.outer) != (options.types.inner, options.types.outer):
        lines.append(f"it computes in {found.casts.inner} and gives {found.casts.outer}")
    for node in graph.nodes:
        wanted = [initializer(node.name, parameter.name) for parameter in graph.parameters(node)]
        if found.weights.get(called[node.name][0], []) != wanted:
            lines.append(f"{node.name} is given other weights than its own")
    read = {name: tensor.checksum for name, tensor in file.tensors.items()}
    lines += [f"the weight {name} has changed" for name in checksums if read.get(name) != checksums[name]]
    lines += [f"there is a weight {name} that no one wrote" for name in read if name not in checksums]
    return lines + _stamps(file, planned, options)


def _stamps(file: OnnxFile, planned: OnnxPlan, options: OnnxOptions) -> list[str]:
    model, lines = file.model, []
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if versions != {"": options.opset} or model.ir_version != planned.skeleton.ir_version:
        lines.append(f"opset {versions} and IR version {model.ir_version} are not what was asked for")
    if {entry.key: entry.value for entry in model.metadata_props} != options.metadata | options.late_metadata():
        lines.append("the metadata differs")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        first = [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim[:1]]
        if first != [options.batch or BATCH]:
            lines.append(f"{value.name} has another batch than was asked for")
    wanted = ModelProto()
    wanted.CopyFrom(planned.skeleton)
    wanted.MergeFrom(planned.stamp())
    if model != wanted:
        lines.append("the file says something else than was planned")
    return lines
