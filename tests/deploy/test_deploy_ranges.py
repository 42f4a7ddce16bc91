"""Numbers and places that no server could load are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resnetgen.build.options import Options
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.deploy import existing, triton
from resnetgen.deploy.config import Serving
from resnetgen.deploy.kserve import deploy as kserve
from resnetgen.deploy.kserve.service import require_quantity
from resnetgen.deploy.kserve.storage import require_storage_uri
from resnetgen.deploy.schema_ranges import RANGES, ServerField
from resnetgen.errors import Failure
from support import triton_config
from support.helpers import Run
from support.triton_config import differences

TINY = """\
use: std
input: 3x16x16
params: {classes: 4}
stages:
  conv1: 16x16 | 3x3, 4
  head:  1x1   | gap | fc $classes | softmax
"""
TRITON = ("deploy", "tiny.yaml", "--server", "triton", "-o", "out")
KSERVE = ("deploy", "tiny.yaml", "--server", "kserve", "-o", "out", "--storage-uri", "s3://models/tiny")
URI = "s3://models/tiny"


@pytest.fixture(autouse=True)
def _spec(run: Run) -> None:
    Path("tiny.yaml").write_text(TINY)


LIMITS = {
    "--max-batch": (2**31 - 1, ("--queue-delay", "0")),
    "--instances": (2**31 - 1, ()),
    "--latest": (2**32 - 1, ()),
    "--model-version": (2**63 - 1, ()),
    "--queue-delay": (2**64 - 1, ("--max-batch", "2")),
    "--preferred-batch": (2**31 - 1, ("--max-batch", str(2**31 - 1))),
}
"""The largest number that Triton's own types hold, and what it takes to give it."""


@pytest.mark.parametrize("above", [1, 10**26])
@pytest.mark.parametrize("option", LIMITS)
def test_a_number_that_triton_cannot_hold_is_a_usage_error(run: Run, option: str, above: int) -> None:
    largest, others = LIMITS[option]
    result = run(*TRITON, *others, option, str(largest + above))
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert option in result.err
    assert str(largest) in result.err
    assert not Path("out").exists()


@pytest.mark.parametrize("option", LIMITS)
def test_the_largest_number_is_read_back_by_triton_s_schema(run: Run, option: str) -> None:
    largest, others = LIMITS[option]
    result = run(*TRITON, *others, option, str(largest))
    assert result.code == 0, result.err
    triton_config.parse(Path("out/tiny/config.pbtxt").read_text())


def _bounds(messages: Any) -> dict[str, tuple[Any, str]]:
    model = messages.ModelConfig.DESCRIPTOR
    return {
        "max_batch": (model, "max_batch_size"),
        "preferred": (messages.ModelDynamicBatching.DESCRIPTOR, "preferred_batch_size"),
        "queue_delay": (messages.ModelDynamicBatching.DESCRIPTOR, "max_queue_delay_microseconds"),
        "instances": (messages.ModelInstanceGroup.DESCRIPTOR, "count"),
        "latest": (messages.ModelVersionPolicy.Latest.DESCRIPTOR, "num_versions"),
    }


def test_ranges_equal_those_of_tritons_schema() -> None:
    from google.protobuf.descriptor import FieldDescriptor as Field

    types = {Field.TYPE_INT32: 2**31 - 1, Field.TYPE_UINT32: 2**32 - 1, Field.TYPE_UINT64: 2**64 - 1}
    for name, (message, field) in _bounds(triton_config.SCHEMA).items():
        assert RANGES[name].largest == types[message.fields_by_name[field].type], name


@pytest.mark.parametrize(
    "options",
    [
        ("--cpu", "1" + "0" * 26),
        ("--cpu", "9223372036854775808"),
        ("--cpu", "0.0001k"),
        ("--cpu", "0.5m"),
        ("--cpu", "9" * 5000),
        ("--cpu", "\u0662"),
        ("--memory", "8Ei"),
        ("--memory", "0Gi"),
        ("--memory", "9007199254740993Ki"),
        ("--max-replicas", "1" + "0" * 22),
        ("--max-replicas", "2147483648"),
        ("--min-replicas", "2147483648", "--max-replicas", "2147483648"),
        ("--scale-target", "2147483648"),
        ("--gpus", "9223372036854775808", "--device", "gpu"),
        ("--instances", "65536", "--max-batch", "65536"),
    ],
)
def test_numbers_beyond_kubernetes_are_a_usage_error(run: Run, options: tuple[str, ...]) -> None:
    result = run(*KSERVE, *options)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert not Path("out").exists()


def test_memory_that_kubernetes_cannot_count_is_refused_as_computed(run: Run) -> None:
    huge = ("--instances", "2147483647", "--max-batch", "2147483647", "--scale-target", "1")
    result = run(*KSERVE, *huge)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert "of memory, more than Kubernetes can represent" in result.err
    assert [path for path in Path().rglob("*") if path.is_file()] == [Path("tiny.yaml")]
    assert run(*KSERVE, *huge, "--memory", "4Gi").code == 0


@pytest.mark.parametrize("given", ["1", "500m", "1.5", "0.001", "9223372036854775807", "7Ei", "4Gi", "1.5Gi", "2k"])
def test_quantities(given: str) -> None:
    assert require_quantity("--cpu", given) == given


@pytest.mark.parametrize(
    ("model", "wanted", "option"),
    [
        (triton.ModelOptions(serving=Serving(max_batch=2**31)), {}, "--max-batch 2147483648"),
        (triton.ModelOptions(serving=Serving(max_batch=-1)), {}, "--max-batch -1"),
        (triton.ModelOptions(serving=Serving(max_batch=4, preferred=(2, 0))), {}, "--preferred-batch 0"),
        (triton.ModelOptions(serving=Serving(instances=9999999999)), {}, "--instances 9999999999"),
        (triton.ModelOptions(version=10**26), {}, "--model-version 1000"),
        (triton.ModelOptions(version=0), {}, "--model-version 0"),
        (triton.ModelOptions(), {"max_replicas": 10**22}, "--max-replicas 1000"),
        (triton.ModelOptions(), {"scale_target": 0}, "--scale-target 0"),
    ],
)
def test_the_library_refuses_the_same(model: triton.ModelOptions, wanted: dict[str, int], option: str) -> None:
    options = Options(output_dir=Path("out"))
    with pytest.raises(Failure) as caught:
        kserve.deploy("tiny.yaml", options, model, kserve.ServiceOptions(URI, **wanted))  # type: ignore[arg-type]
    assert exit_code(caught.value) is Exit.USAGE
    assert f"{option}" in str(caught.value)
    assert "is out of range" in str(caught.value)
    if not wanted:
        with pytest.raises(Failure, match="is out of range"):
            triton.deploy("tiny.yaml", options, model)
    assert not Path("out").exists()


def test_each_range_is_that_of_its_option() -> None:
    from resnetgen.cli.deploy import deploy

    types = {option: param.type for param in deploy.params for option in param.opts}
    for name, each in RANGES.items():
        found: Any = types[each.option]
        assert (found.min, found.max) == (each.smallest, each.largest), name
    assert all(isinstance(each, ServerField) for each in RANGES.values())


# Versions


@pytest.mark.parametrize("name", ["\u00b2", "\u0663", "\uff17", "1a", "", "-1"])
def test_a_folder_that_is_no_version(run: Run, name: str) -> None:
    """Digits of other alphabets are digits to Python, and no versions to Triton."""
    assert run(*TRITON).code == 0
    (Path("out/tiny") / (name or "empty")).mkdir()
    assert existing.next_version(Path("out/tiny")) == 2
    assert run(*TRITON, "--seed", "1").code == 0
    assert Path("out/tiny/2/model.onnx").is_file()


@pytest.mark.parametrize("last", [2**63 - 1, 10**26])
def test_no_version_comes_after_the_last(run: Run, last: int) -> None:
    assert run(*TRITON).code == 0
    (Path("out/tiny") / str(last)).mkdir()
    result = run(*TRITON)
    assert (result.code, result.out) == (Exit.IO, "")
    assert f"out/tiny has version {last}, and Triton reads no higher version" in result.err
    assert run(*TRITON, "--model-version", "7").code == 0


# The configuration against the model


def test_a_fixed_batch_under_max_batch_size_is_found(run: Run) -> None:
    assert run(*TRITON, "--batch", "8").code == 0
    model = Path("out/tiny/1/model.onnx")
    text = Path("out/tiny/config.pbtxt").read_text()
    assert differences(text, "tiny", model) == []
    batched = text.replace("max_batch_size: 0", "max_batch_size: 8").replace("8, 3, 16, 16", "3, 16, 16")
    found = differences(batched.replace("8, 4", "4"), "tiny", model)
    assert found == [
        "max_batch_size is 8, but the batch of input is fixed at [8]",
        "max_batch_size is 8, but the batch of output is fixed at [8]",
    ]


@pytest.mark.parametrize(("size", "found"), [(8, []), (9, ["a batch of 9 is above max_batch_size 8"])])
@pytest.mark.parametrize("field", ["preferred_batch_size", "batch_size"])
def test_a_batch_of_one_more_than_the_limit_is_found(run: Run, field: str, size: int, found: list[str]) -> None:
    assert run(*TRITON, "--max-batch", "8", "--preferred-batch", "8").code == 0
    text = Path("out/tiny/config.pbtxt").read_text()
    assert f"  {field}: 8\n" in text
    changed = text.replace(f"  {field}: 8\n", f"  {field}: {size}\n")
    assert differences(changed, "tiny", Path("out/tiny/1/model.onnx")) == found


# Where a cluster finds the repository


@pytest.mark.parametrize(
    "uri",
    [
        "https://host/model.onnx",
        "https://host/MODEL.ONNX",
        "https://host/model.onnx?token=a.zip",
        "https://host/repository",
        "https://host/repository/",
        "https://host/repository.zip/",
        "https://host",
        "https://host/?file=a.zip",
        "https://host/model.onnx.gz",
        "https://host/repository.zip.gz",
        "https://host/repository.tar.Z",
        "http://host/config.pbtxt",
        "https://host/repository.7z",
        "s3://bucket/model.onnx",
        "pvc://claim/model.onnx",
        "gs://bucket/a/b.onnx",
        "https://account.blob.core.windows.net/",
        "http://account.blob.core.windows.net/container/folder",
    ],
)
def test_a_uri_that_gives_one_file_is_refused(run: Run, uri: str) -> None:
    result = run(*KSERVE[:-1], uri)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert f"KServe would fetch a single file from {uri!r}, but a model repository is a folder" in result.err
    assert not Path("out").exists()


@pytest.mark.parametrize("uri", ["http://[", "https://[1/a.zip", "s3://[/a"])
def test_invalid_uris(uri: str) -> None:
    with pytest.raises(Failure, match="KServe cannot fetch a repository from"):
        require_storage_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "https://host/repository.zip",
        "http://host/a/repository.tar",
        "https://host/repository.tar.gz",
        "https://host/repository.tgz?token=x",
        "https://host/download?file=repository.zip",
        "https://host/owner/repository.git",
        "https://account.blob.core.windows.net/container/folder",
        "https://account.z1.file.storage.azure.net/share/folder",
        "s3://bucket/folder",
        "gs://bucket/repository.zip",
        "hf://owner/repository",
        "oci://registry/image:1",
    ],
)
def test_a_uri_that_gives_a_folder(uri: str) -> None:
    assert require_storage_uri(uri) == uri
