"""Names of a caffemodel's blobs, and the parameters of the graph that they hold."""

from __future__ import annotations

from resnetgen.formats.caffe.lower import lower
from resnetgen.formats.caffe.lower_ops import WeightBlob
from resnetgen.ir.graph import Graph
from resnetgen.weights.assign import Naming
from resnetgen.weights.names import load_name_map


def blob_naming(graph: Graph, convention: str | None) -> Naming:
    """Return the naming `<layer>.<index of the blob>` of a graph, by a name map or by the paths of nodes.

    Raises SpecError if the map does not name a node, or Caffe cannot express one.
    """
    found, fixed = {}, set()
    for layer in lower(graph, load_name_map(convention) if convention else None).layers:
        for number, blob in enumerate(layer.blobs):
            name = f"{layer.name}.{number}"
            if isinstance(blob, WeightBlob):
                found[name] = (layer.node, blob.parameter)
            else:
                fixed.add(name)
    return Naming(convention, found, frozenset(fixed))
