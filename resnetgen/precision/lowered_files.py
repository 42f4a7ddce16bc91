"""Files of a model below fp32: the fp32 model is written first, lowered, and compared with the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from resnetgen.formats.onnx.format import OnnxFiles
from resnetgen.formats.readback import require_equal
from resnetgen.formats.registry import Files, Request
from resnetgen.precision.agreement import Measured, measure
from resnetgen.precision.plan import Fp16Plan, Fp32Plan, Int8Plan, plan_precision
from resnetgen.precision.precision_options import PrecisionOptions
from resnetgen.progress import Progress
from resnetgen.staging.files import Output, Staging


class LoweredFiles(Files):
    def __init__(self, request: Request, name: str, options: PrecisionOptions, check: Callable[[Path], None]) -> None:
        """Prepare a model. `name`: name of its file. `check`: function that is called with the fp32 model."""
        self._whole = OnnxFiles(request, name)
        self.name, self.replaces = name, self._whole.replaces
        self._options, self._check = options, check
        self._lowered: Fp16Plan | Int8Plan | None = None
        self.measured: Measured | None = None
        """Agreement of the model with fp32, after `write`."""

    def begin(self) -> None:
        self._whole.begin()

    def close(self) -> None:
        self._whole.close()

    def plan(self) -> None:
        """Translate the graph, and read the images. Raises Failure for options that the precision does not allow."""
        whole = self._whole
        whole.plan()
        assert whole.planned
        planned = Fp32Plan(whole.graph, whole.weights, *whole.planned)
        self._lowered = plan_precision(self._options, planned, whole.request.preprocess)

    def write(self, stage: Staging, progress: Progress) -> None:
        """Write the model. Raises VerificationError if it differs too much from fp32."""
        assert self._lowered, "plan comes first"
        whole, path = stage.path("fp32") / self.name, stage.path(self.name)
        whole.parent.mkdir()
        self._whole.write_to(whole, Output, progress)
        self._check(whole)  # stricter than the tolerance of the lower precision
        with progress.task(f"{self.name} from fp32", 0):
            require_equal(self.name, self._lowered.write(whole, path, stage.create))
            self.measured = measure(whole, path, self._lowered.images, self._options)
        if not self.measured.passed:
            raise self.measured.failure()
