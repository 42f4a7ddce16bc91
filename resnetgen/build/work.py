"""Inputs that all targets of a job share, and the metadata of their origin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec import Struct

from resnetgen import __version__
from resnetgen.build.options import Options, Progress
from resnetgen.errors import Code, Exit, fail
from resnetgen.escape import escape
from resnetgen.network import Network
from resnetgen.weights.initialise import Initialised
from resnetgen.weights.source import Weights

if TYPE_CHECKING:  # imported only if there is a checkpoint
    from resnetgen.pretrained import Pretrained


class Work(Struct, frozen=True):
    network: Network
    options: Options
    progress: Progress
    stem: str
    """Base name of the files, without suffixes."""
    weights: Weights
    """Weights of the graph of the spec, before any pass."""
    pretrained: Pretrained | None
    """Checkpoint of the weights; None if they are drawn."""

    def metadata(self) -> dict[str, str]:
        """Return a model's metadata: enough to build it again. Raises Failure like `preprocessing`."""
        import numpy

        spec = self.network.spec
        origin = self.origin_of_weights() | self.preprocessing() | self.served_by()
        return origin | {
            "resnetgen.version": __version__,
            "resnetgen.spec": spec.name,
            "resnetgen.spec_sha256": self.network.digest,
            "resnetgen.input": str(spec.input),
            "resnetgen.params": json.dumps(spec.params, sort_keys=True),
            "resnetgen.numpy": numpy.__version__,
        }

    def preprocessing(self) -> dict[str, str]:
        """Return the metadata of the preprocessing, and of its part in the model. Raises Failure (exit 3) if it is to
        be embedded and the spec has none."""
        spec, embedded = self.network.spec, self.options.embed_preprocess
        if embedded and not spec.preprocess:
            hint = "add `preprocess:` to the spec; docs/spec-language.md lists its keys"
            message = f"of an image {spec.input} the spec says no preprocessing"
            raise fail(Exit.SPEC, Code.MISSING_KEY, message, spec.span, hint)
        said = {"resnetgen.preprocess": spec.preprocess.to_json()} if spec.preprocess else {}
        return said | {"resnetgen.embedded": "color divide mean std"} if embedded else said

    def served_by(self) -> dict[str, str]:
        return {"resnetgen.runtime": self.options.runtime.name} if self.options.runtime else {}

    def origin_of_weights(self) -> dict[str, str]:
        drawn = {"resnetgen.init": self.options.init.value, "resnetgen.seed": str(self.options.seed)}
        source = self.options.pretrained
        if not self.pretrained or not source:
            return drawn
        taken = {
            "resnetgen.weights": escape(source.path.name),  # which may not be UTF-8
            "resnetgen.weights_names": self.pretrained.naming.shown,
        }
        return taken | (drawn | {"resnetgen.reinit": ",".join(source.reinit)} if source.reinit else {})

    def digest_of_weights(self) -> dict[str, str]:
        """Return the checksum of the checkpoint, which is computed while its weights are written."""
        return {"resnetgen.weights_sha256": self.pretrained.sha256} if self.pretrained else {}


def gather(network: Network, options: Options, progress: Progress, stem: str) -> Work:
    """Draw the weights, or load those of the checkpoint. Raises Failure like `load_pretrained`."""
    drawn = Initialised(network.graph, options.seed, options.init)
    if not options.pretrained:
        return Work(network, options, progress, stem, drawn, None)
    from resnetgen.pretrained import load_pretrained

    pretrained = load_pretrained(options.pretrained, network.spec, network.graph, drawn)
    return Work(network, options, progress, stem, pretrained.weights, pretrained)
