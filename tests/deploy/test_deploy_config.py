"""config.pbtxt against Triton's own schema and the model beside it, which `deploy` itself does not check again."""

from __future__ import annotations

import itertools
from pathlib import Path

import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetgen import render
from resnetgen.deploy.config import Config, InstanceKind, Serving, TensorConfig, TensorRTPrecision
from resnetgen.deploy.schema_ranges import RANGES
from resnetgen.paths import TEMPLATES
from support import triton_config
from support.deployed import MODEL, TINY, TRITON
from support.helpers import Run
from support.triton_config import differences


@pytest.fixture(autouse=True)
def _files(run: Run) -> None:
    """A spec, and the labels of its classes."""
    Path("tiny.yaml").write_text(TINY)
    Path("labels.txt").write_text("cat\ndog\nhen\nyak\n")


VARIANTS: dict[str, tuple[str, ...]] = {
    "no batching": (),
    "a queue": ("--max-batch", "4", "--preferred-batch", "2", "--queue-delay", "500"),
    "a fixed batch": ("--batch", "3"),
    "bytes": ("--embed-preprocess", "--max-batch", "2"),
    "a batch of one": ("--max-batch", "1"),
    "a GPU": ("--device", "gpu", "--instances", "2", "--tensorrt", "fp16", "--max-batch", "8"),
    "names": ("--input-name", 'a "b" \\c', "--output-name", "prob", "--name", "other.2", "--latest", "3"),
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_tritons_schema_reads_each_option(run: Run, options: tuple[str, ...]) -> None:
    assert run(*TRITON, "--labels", "labels.txt", *options).code == 0
    (path,) = Path().rglob("config.pbtxt")
    config = triton_config.parse(path.read_text())
    session = onnxruntime.InferenceSession(path.parent / "1/model.onnx")
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    asked = dict(itertools.pairwise(options))
    assert config.name == path.parent.name == asked.get("--name", "tiny")
    assert config.max_batch_size == int(asked.get("--max-batch", 0))
    for tensor, found in ((config.input[0], taken), (config.output[0], given)):
        shape = [size if isinstance(size, int) else -1 for size in found.shape]
        assert tensor.name == found.name
        assert list(tensor.dims) == (shape[1:] if config.max_batch_size else shape)
    batching = config.dynamic_batching
    assert config.HasField("dynamic_batching") == (config.max_batch_size > 1)
    assert batching.max_queue_delay_microseconds == int(asked.get("--queue-delay", 0))
    assert list(batching.preferred_batch_size) == ([2] if "--preferred-batch" in options else [])
    assert config.input[0].data_type == {"tensor(float)": 11, "tensor(uint8)": 2}[taken.type]
    assert config.output[0].label_filename == "labels.txt"
    assert config.version_policy.latest.num_versions == int(asked.get("--latest", 1))
    group = config.instance_group[0]
    assert (group.count, group.kind) == ((2, 1) if "gpu" in options else (1, 2))
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    expected = [("tensorrt", {"precision_mode": "FP16"})] if "--tensorrt" in options else []
    assert [(each.name, dict(each.parameters)) for each in accelerators] == expected
    for sample in config.model_warmup:
        assert dict(sample.inputs).keys() == {taken.name}
        batch = [sample.batch_size] if config.max_batch_size else []
        fits = zip([*batch, *sample.inputs[taken.name].dims], taken.shape, strict=True)
        assert all(size == wanted or not isinstance(wanted, int) for size, wanted in fits)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name: "tiny"', 'name: "tony"', "name is tony, the directory's tiny"),
        ('  name: "input"', '  name: "data"', "input names ['data'], the model ['input']"),
        ("dims: [ 3, 16, 16 ]", "dims: [ 3, 16, 15 ]", "dims of input are [3, 16, 15]"),
        ("dims: [ 4 ]", "dims: [ -1, 4 ]", "dims of output are [-1, 4]"),
        ("TYPE_FP32", "TYPE_UINT8", "data_type of input is TYPE_UINT8"),
        ("max_batch_size: 8", "max_batch_size: 2", "a batch of 8 is above max_batch_size 2"),
        ("max_batch_size: 8", "max_batch_size: 0", "dims of input are [3, 16, 16]"),
        ('label_filename: "labels.txt"', "", "label_filename is [''], the file of labels 'labels.txt'"),
    ],
)
def test_a_config_that_does_not_match_the_model_is_reported(run: Run, old: str, new: str, message: str) -> None:
    assert run(*TRITON, "--labels", "labels.txt", "--max-batch", "8").code == 0
    text = (MODEL / "config.pbtxt").read_text()
    assert old in text
    found = differences(text.replace(old, new, 1), "tiny", MODEL / "1/model.onnx", "labels.txt")
    assert message in "; ".join(found)


def test_a_misspelt_field_is_reported() -> None:
    (line,) = differences('name: "tiny"\ninstance_group { cont: 1 }\n', "tiny", Path("none.onnx"))
    assert 'has no field named "cont"' in line


BROKEN = {
    "a brace too few": ("{% endmacro %}", "{% endmacro %}}", "Triton's schema does not allow it"),
    "a misspelt field": ("  count:", "  cont:", 'has no field named "cont"'),
    "a value of another type": ("latest {\n    num_versions: ", "latest {\n    num_versions: -", "Triton's schema"),
    "dims of another tensor": ("config.output, config.labels", "config.input, config.labels", "output names ['input']"),
    "labels of the input": ("config.input, none", "config.input, config.labels", 'no field named "label_filename"'),
    "a batch that is not limited": ("{{ serving.max_batch }}", "1", "a batch of 8 is above max_batch_size 1"),
    "a name without quotes": ("name: {{ config.name | quoted }}", "name: {{ config.name }}", "Triton's schema"),
}
"""Fault -> a text of the template, the broken one in its place, and the report."""


@pytest.mark.parametrize(("old", "new", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_template_is_reported(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    """The negative control of the checks above."""
    text = (TEMPLATES / "triton/config.pbtxt.j2").read_text()
    assert old in text
    broken = tmp_path / "templates/triton/config.pbtxt.j2"
    broken.parent.mkdir(parents=True)
    broken.write_text(text.replace(old, new, 1))
    monkeypatch.setattr(render, "TEMPLATES", tmp_path / "templates")
    assert run(*TRITON, "--labels", "labels.txt", "--max-batch", "8").code == 0
    found = differences((MODEL / "config.pbtxt").read_text(), "tiny", MODEL / "1/model.onnx", "labels.txt")
    assert message in "; ".join(found)
    assert found


NAMES = st.text(st.characters(blacklist_categories=("C", "Z")), min_size=1, max_size=20)


@settings(deadline=None)
@given(
    names=st.tuples(NAMES, NAMES),
    dims=st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=4),
    serving=st.builds(
        Serving,
        max_batch=st.integers(*RANGES["max_batch"]),
        preferred=st.lists(st.integers(*RANGES["preferred"]), max_size=3).map(tuple),
        queue_delay=st.integers(*RANGES["queue_delay"]),
        instances=st.integers(*RANGES["instances"]),
        device=st.sampled_from(InstanceKind),
        tensorrt=st.none() | st.sampled_from(TensorRTPrecision),
        latest=st.integers(*RANGES["latest"]),
    ),
)
def test_any_values_in_their_ranges_are_read_back(names: tuple[str, str], dims: list[int], serving: Serving) -> None:
    """Names with quotes and backslashes among them, and the largest numbers."""
    tensors = [TensorConfig(name, "TYPE_FP32", tuple(dims)) for name in names]
    config = triton_config.parse(Config("net", tensors[0], tensors[1], None, serving).render())
    assert [(each.name, list(each.dims)) for each in (config.input[0], config.output[0])] == [
        (name, dims) for name in names
    ]
    assert config.max_batch_size == serving.max_batch
    assert config.instance_group[0].count == serving.instances
    assert config.version_policy.latest.num_versions == serving.latest
    if serving.max_batch > 1:
        assert list(config.dynamic_batching.preferred_batch_size) == list(serving.preferred)
        assert config.dynamic_batching.max_queue_delay_microseconds == serving.queue_delay
