"""ONNX Runtime: runs a model, and reports the provider on which each node ran."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from resnetgen.errors import Code, Failure, FileError, LimitError, ModelError, VerificationError
from resnetgen.weights.source import Array

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_CUDA_OPTIONS = {"use_tf32": "0"}
"""Defaults of CUDA's provider. TF32, which is on by default, rounds to ten bits of mantissa and would hide
differences."""
_EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"
_TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"
"""Environment variable of cuBLAS and cuDNN, which they read when they are loaded."""
_NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"
"""Environment variable that turns off ONNX Runtime's telemetry; it is read when the library is loaded."""

FLOATS = frozenset({"tensor(float16)", "tensor(float)", "tensor(double)"})
"""ONNX Runtime's names of the types of floating-point tensors that numpy supports."""
_INTEGERS = {f"tensor({sign}int{bits})" for sign in ("", "u") for bits in (8, 16, 32, 64)}
NUMBERS = FLOATS | _INTEGERS | {"tensor(bool)"}
"""Types that become numpy arrays. For tensor(string) the binding crashes the process (seen with 1.23 and 1.31)."""
_OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "failed to allocate memory", "out of memory", "unable to allocate")


class Provider(StrEnum):
    """Requested provider. `auto`: CUDA if it works, else the CPU."""

    CPU = "cpu"
    CUDA = "cuda"
    AUTO = "auto"


class Device(Struct, frozen=True):
    """Provider for a model, with its options."""

    provider: Provider = Provider.CPU
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of CUDA's provider, such as device_id; they override the defaults."""

    @property
    def cuda_options(self) -> dict[str, str]:
        return _CUDA_OPTIONS | dict(self.options)

    @property
    def tf32(self) -> bool:
        return self.cuda_options["use_tf32"] != "0" and os.environ.get(_TF32_OVERRIDE) != "0"


class ValueInfo(Struct, frozen=True):
    """An input or an output as the model declares it."""

    name: str
    type: str
    """ONNX Runtime's name of the type: tensor(float)."""
    shape: list[int | str | None]
    """Sizes; a name or None for one that is not fixed."""


class Session:
    """A loaded model, which can be run any number of times."""

    def __init__(self, model: Path | bytes, device: Device, beside: Path | None = None) -> None:
        """Load a model; `beside` is the folder of the external data of a model given as bytes.

        Raises Failure: exit 4 if the model does not load, or has no input or no output; exit 6 if memory does not
        suffice; exit 7 if `cuda` was requested and is missing.
        """
        self.device = device
        self.shown = str(model) if isinstance(model, Path) else "the model"
        self.nodes: dict[str, str] = {}
        """Node -> its provider, after the first run; ONNX Runtime fuses and renames some nodes."""
        self._has_looked = False
        folder = tempfile.mkdtemp(prefix="resnetgen-profile-")
        # Removed after the first run; for a session that never runs, with the session.
        self._remove_profile = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._session = _session(model, device, beside, Path(folder))
        with _failures(self.shown):  # a name, also of a size, that is not UTF-8 raises an error when it is read
            inputs, outputs = (
                tuple(ValueInfo(each.name, each.type, each.shape) for each in declared)
                for declared in (self._session.get_inputs(), self._session.get_outputs())
            )
        self.given = outputs
        self.outputs: tuple[str, ...] = tuple(output.name for output in outputs)
        if not inputs or not self.given:
            lacking = "gives no output" if inputs else "takes no input"
            raise ModelError.of(Code.BAD_MODEL, f"{self.shown}: it {lacking}")
        (self.input, *self.more_inputs) = inputs

    @property
    def summary(self) -> str:
        """Providers as text: CUDAExecutionProvider (54 nodes), CPUExecutionProvider (2 nodes)."""
        counts = Counter(self.nodes.values())
        return ", ".join(f"{provider} ({count} nodes)" for provider, count in sorted(counts.items()))

    def cast(self, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the same numbers in the type of the model's input, if that is fp16."""
        return data.astype(np.float16) if self.input.type == "tensor(float16)" else data

    def run(self, data: npt.NDArray[Any], names: Sequence[str] | None = None) -> dict[str, Array]:
        """Return the outputs for one input: those of `names`, or all.

        Input and outputs are bound to the memory of the device, so that nothing is copied implicitly. Raises Failure:
        exit 4 for an output that is not a tensor of numbers and if the model cannot be run; exit 6 if memory does not
        suffice; exit 7 if `cuda` was requested and any node ran elsewhere.
        """
        names_to_run = self.outputs if names is None else tuple(names)
        self.require_numbers(names_to_run)
        if not names_to_run:  # ONNX Runtime refuses to run for no output
            return {}
        on_gpu = CUDA in self._session.get_providers()
        with _failures(self.shown):
            place = ("cuda", int(self.device.cuda_options.get("device_id", "0"))) if on_gpu else ("cpu", 0)
            binding = self._session.io_binding()
            value = load_engine().OrtValue.ortvalue_from_numpy(data, *place)
            binding.bind_ortvalue_input(self.input.name, value)
            for name in names_to_run:
                binding.bind_output(name, *place)
            self._session.run_with_iobinding(binding)
            found = dict(zip(names_to_run, binding.copy_outputs_to_cpu(), strict=True))
        if not self._has_looked:
            self._look_where_it_ran()
        return found

    def require_numbers(self, names: Sequence[str]) -> None:
        """Raise ModelError for the first of these outputs that is not a tensor of numbers."""
        types = {output.name: output.type for output in self.given}
        for name in names:
            if types[name] not in NUMBERS:
                message = f"{self.shown}: its output {name} is a {types[name]}, which cannot be compared or ranked"
                hint = "an output is a tensor of float16, float, double, integers or bool"
                raise ModelError.of(Code.BAD_MODEL, message, hint=hint)

    def _look_where_it_ran(self) -> None:
        self._has_looked = True
        providers = _node_providers(Path(self._session.end_profiling()))
        self._remove_profile()
        if providers is None and self.device.provider is Provider.CUDA:
            message = f"{self.shown}: ONNX Runtime's profile cannot be read, so it is unknown which nodes ran on CUDA"
            raise VerificationError.of(Code.PROVIDER, message, hint="--provider auto accepts this")
        self.nodes = providers or {}
        strays = sorted(node for node, where in self.nodes.items() if where != CUDA)
        if self.device.provider is Provider.CUDA and strays:
            listed = ", ".join(strays[:10]) + (" ..." if len(strays) > 10 else "")
            message = f"{len(strays)} of {len(self.nodes)} nodes did not run on CUDA: {listed}"
            raise VerificationError.of(Code.PROVIDER, message, hint="--provider auto accepts this")


def version() -> str:
    return f"onnxruntime {load_engine().__version__}"


@cache
def load_engine() -> Any:
    """Import ONNX Runtime with logging and telemetry turned off.

    Its wheels (seen with 1.31) otherwise write events below ~/.cache and send them to Microsoft.
    """
    os.environ[_NO_TELEMETRY] = "1"  # read when the library is loaded
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # problems are checked below; the log would go to the terminal
    return onnxruntime


def _session(model: Path | bytes, device: Device, beside: Path | None, folder: Path) -> Any:
    engine = load_engine()
    options = engine.SessionOptions()
    options.log_severity_level = 4
    # A model runs once or twice here: threads that spin between its nodes cost more than they gain.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "run")
    if beside:
        options.add_session_config_entry(_EXTERNAL_DATA, str(beside))
    wants_cuda = device.provider is not Provider.CPU and CUDA in engine.get_available_providers()
    if device.provider is Provider.CUDA and not wants_cuda:
        raise _no_cuda("this ONNX Runtime was built without it")
    if wants_cuda and not device.tf32:
        os.environ.setdefault(_TF32_OVERRIDE, "0")
    providers: list[Any] = [(CUDA, device.cuda_options), CPU] if wants_cuda else [CPU]
    source = _in_utf8(model) if isinstance(model, Path) else model
    with _failures(str(model) if isinstance(model, Path) else "the model"):
        session = engine.InferenceSession(source, options, providers=providers)
    session.disable_fallback()
    if device.provider is Provider.CUDA and CUDA not in session.get_providers():
        raise _no_cuda("the session fell back to the CPU: no GPU, no driver, or a CUDA or cuDNN library is missing")
    return session


def _in_utf8(path: Path) -> str:
    """Return a path as the engine takes it. Raises FileError if its bytes are not UTF-8."""
    try:
        return os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        message = f"ONNX Runtime cannot open {path}: the name is not UTF-8"
        raise FileError.of(Code.MISSING_FILE, message, hint="rename the file or its folder") from None


def _no_cuda(why: str) -> Failure:
    hint = "resnetgen[cuda] installs the libraries; a GPU and its driver must be there; --provider auto takes the CPU"
    return VerificationError.of(Code.PROVIDER, f"nothing ran on CUDA: {why}", hint=hint)


@contextmanager
def _failures(shown: str) -> Iterator[None]:
    """Turn every error of the engine into a Failure; its classes have no common base, and it raises Python's as
    well."""
    try:
        yield
    except Failure:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _OUT_OF_MEMORY):
            message = f"{shown}: there is not enough memory to load or run it: {reason}"
            raise LimitError.of(Code.LIMIT, message, hint="fewer images at once: --batch") from None
        raise ModelError.of(Code.BAD_MODEL, f"ONNX Runtime refuses {shown}: {reason}") from None


def _node_providers(profile: Path) -> dict[str, str] | None:
    """Return node -> provider; None for a profile that is invalid JSON because a node's name is not text."""
    try:
        events = json.loads(profile.read_text(encoding="utf-8"), strict=False)
    except ValueError:
        return None
    suffix = "_kernel_time"
    return {
        event["name"].removesuffix(suffix): event["args"]["provider"]
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith(suffix)
    }
