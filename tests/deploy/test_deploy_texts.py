"""Texts that deploy writes, and the texts of its errors.

The texts of the errors are in tests/data/refusals/deploy.txt.
Refresh: pytest tests/deploy/test_deploy_texts.py --update-goldens
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from resnetgen.deploy import schema_ranges
from resnetgen.deploy.config import DYNAMIC, Config, Serving, TensorConfig, TensorRTPrecision, WarmupRequest
from resnetgen.deploy.kserve.service import Autoscaler, Scaling, Service, require_quantity
from resnetgen.deploy.kserve.storage import require_storage_uri
from resnetgen.errors import Failure
from support.helpers import Run
from support.kserve_manifest import expected_values
from support.places import DATA
from support.triton_config import differences

GOLDEN = DATA / "refusals" / "deploy.txt"
TINY = """\
use: std
input: 3x16x16
params: {classes: 4}
stages:
  conv1: 3x3, 4
  head:  gap | fc $classes | softmax
"""
TRITON = ("deploy", "tiny.yaml", "--server", "triton", "-o", "out")
KSERVE = ("deploy", "tiny.yaml", "--server", "kserve", "-o", "out", "--storage-uri", "s3://models/tiny")
ONNXRUNTIME = ("deploy", "tiny.yaml", "--server", "onnxruntime", "-o", "out")

REFUSED = [
    "triton --max-batch 4 --batch 2",
    "triton --max-batch 4 --preferred-batch 8 --preferred-batch 9",
    "triton --queue-delay 100 --max-batch 1",
    "triton --tensorrt fp16",
    "triton --precision int8 --calibrate random --device gpu",
    "triton --name .hidden",
    "triton --labels none.txt",
    "triton --labels two.txt",
    "kserve --service 9lives",
    "kserve --service-account Me",
    "kserve --cpu much",
    "kserve --cpu 0",
    "kserve --memory 0.0001",
    "kserve --min-replicas 4",
    "kserve --min-replicas 0 --autoscaler hpa",
    "kserve --storage-uri models/tiny",
    "kserve --storage-uri https://host/model.onnx",
    "kserve --storage-uri https://host/folder",
]


@pytest.fixture(autouse=True)
def _files(run: Run) -> None:
    Path("tiny.yaml").write_text(TINY)
    Path("two.txt").write_text("cat\ndog\n")


def refuse(run: Run, case: str) -> str:
    server, *options = case.split()
    base = {"triton": TRITON, "kserve": KSERVE, "onnxruntime": ONNXRUNTIME}[server]
    result = run(*base, *options)
    assert not Path("out").exists()
    return f"{case}\nexit {result.code}\n{result.err}"


def test_refusals(run: Run, update_goldens: bool) -> None:
    found = [refuse(run, case) for case in REFUSED]
    if update_goldens:
        GOLDEN.write_text("\n".join(found), encoding="utf-8", newline="\n")
    for said, expected in zip(found, GOLDEN.read_text(encoding="utf-8").split("\n\n"), strict=True):
        assert said.rstrip("\n") == expected.rstrip("\n")


@pytest.mark.parametrize("name", schema_ranges.RANGES)
def test_a_number_out_of_range_names_its_option_and_field(name: str) -> None:
    allowed = schema_ranges.RANGES[name]
    option, field = allowed.option, allowed.field
    low, high = allowed
    for number in (low - 1, high + 1):
        with pytest.raises(Failure) as caught:
            schema_ranges.require_in_range(**{name: number})
        (problem,) = caught.value.problems
        assert problem.message == f"{option} {number} is out of range: it becomes {field}"
        assert problem.hint == f"{low} to {high}"
    schema_ranges.require_in_range(**{name: low})
    schema_ranges.require_in_range(**{name: [low, high]})


def test_fields_of_the_servers() -> None:
    """As the servers' schemas call them, and the largest numbers that these types hold."""
    assert {name: (each.largest, each.field) for name, each in schema_ranges.RANGES.items()} == {
        "max_batch": (2147483647, "max_batch_size, an int32"),
        "preferred": (2147483647, "preferred_batch_size, an int32"),
        "queue_delay": (18446744073709551615, "max_queue_delay_microseconds, a uint64"),
        "instances": (2147483647, "instance_group.count, an int32"),
        "latest": (4294967295, "version_policy.latest.num_versions, a uint32"),
        "version": (9223372036854775807, "the name of a version's directory, an int64"),
        "gpus": (9223372036854775807, "nvidia.com/gpu, a quantity"),
        "min_replicas": (2147483647, "minReplicas, an int32"),
        "max_replicas": (2147483647, "maxReplicas, an int32"),
        "scale_target": (2147483647, "scaleTarget, an int32"),
    }


# Triton


def test_first_lines(run: Run) -> None:
    """Repositories of earlier versions begin with the same words, and go on to be served."""
    assert run(*TRITON).code == 0
    first = Path("out/tiny/config.pbtxt").read_text().splitlines()[0]
    assert first == "# Written by resnetgen, which adds versions to this model as long as this line stands first."
    assert run(*KSERVE[:4], "-o", "service", *KSERVE[6:]).code == 0
    first = Path("service/inferenceservice.yaml").read_text().splitlines()[0]
    assert first == "# Written by resnetgen, which writes this file anew as long as this line stands first."


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_precision_of_tensorrt(precision: str, run: Run) -> None:
    assert run(*TRITON, "--device", "gpu", "--tensorrt", precision).code == 0
    assert f'value: "{precision.upper()}"' in Path("out/tiny/config.pbtxt").read_text()
    assert [one.value for one in TensorRTPrecision] == ["fp16", "fp32"]


@pytest.mark.parametrize(
    ("largest", "dims", "samples"),
    [
        (0, (DYNAMIC, 3, 8, 8), [WarmupRequest("one batch", 0, (1, 3, 8, 8))]),
        (0, (5, 3, 8, 8), [WarmupRequest("one batch", 0, (5, 3, 8, 8))]),
        (1, (3, 8, 8), [WarmupRequest("batch 1", 1, (3, 8, 8))]),
        (6, (3, 8, 8), [WarmupRequest("batch 1", 1, (3, 8, 8)), WarmupRequest("batch 6", 6, (3, 8, 8))]),
    ],
)
def test_warmup_requests(largest: int, dims: tuple[int, ...], samples: list[WarmupRequest]) -> None:
    """The smallest batch and the largest that Triton will make of requests."""
    tensor = TensorConfig("input", "TYPE_FP32", dims)
    assert list(Config("net", tensor, tensor, None, Serving(largest)).warmup) == samples


def test_a_config_whose_batches_are_above_its_limit(run: Run) -> None:
    assert run(*TRITON, "--max-batch", "8", "--preferred-batch", "4", "--preferred-batch", "8").code == 0
    model = next(Path("out").rglob("model.onnx"))
    text = Path("out/tiny/config.pbtxt").read_text()
    assert differences(text, "tiny", model) == []
    wrong = text.replace("preferred_batch_size: 4\n", "preferred_batch_size: [9, 10]\n")
    assert wrong != text
    assert differences(wrong, "tiny", model) == [
        "a batch of 9 is above max_batch_size 8",
        "a batch of 10 is above max_batch_size 8",
    ]
    wrong = text.replace("  batch_size: 8\n", "  batch_size: 9\n")
    assert wrong != text
    assert differences(wrong, "tiny", model) == ["a batch of 9 is above max_batch_size 8"]


def test_a_model_of_a_fixed_batch_is_not_batched(run: Run) -> None:
    assert run(*TRITON, "--max-batch", "8").code == 0
    path = next(Path("out").rglob("model.onnx"))
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    onnx.save(model, "fixed.onnx")
    text = Path("out/tiny/config.pbtxt").read_text()
    (line,) = differences(text, "tiny", Path("fixed.onnx"))
    assert line == "max_batch_size is 8, but the batch of input is fixed at [8]"


# KServe


SCALING = Scaling(Autoscaler.KNATIVE, 1, 3, 4)


def test_a_service_without_resources() -> None:
    values = expected_values(Service("net", "s3://models/net", "abc", None, None, SCALING))
    assert not [path for path in values if "resources" in path]
    assert values["spec.predictor.scaleTarget"] == 4


@pytest.mark.parametrize(
    ("autoscaler", "words"),
    [("knative", "scaleTarget: 8"), ("hpa", "scaleTarget: 80"), ("keda", "averageUtilization: 80")],
)
def test_default_load_of_a_replica(autoscaler: str, words: str, run: Run) -> None:
    """Knative counts requests, four images for each of two instances; the others the use of CPUs, in percent."""
    assert run(*KSERVE, "--autoscaler", autoscaler, "--max-batch", "4", "--instances", "2").code == 0
    assert f" {words}\n" in Path("out/inferenceservice.yaml").read_text()


@pytest.mark.parametrize(
    ("suffix", "unit"),
    [
        ("", 1), ("k", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12), ("P", 10**15), ("E", 10**18),
        ("Ki", 2**10), ("Mi", 2**20), ("Gi", 2**30), ("Ti", 2**40), ("Pi", 2**50), ("Ei", 2**60),
    ],
)  # fmt: skip
def test_the_largest_quantity_of_each_unit(suffix: str, unit: int) -> None:
    largest = (2**63 - 1) // unit
    assert require_quantity("--memory", f"{largest}{suffix}") == f"{largest}{suffix}"
    with pytest.raises(Failure):
        require_quantity("--memory", f"{largest + 1}{suffix}")


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_archives_that_kserve_unpacks(ending: str) -> None:
    assert require_storage_uri(f"https://host/repository.{ending}") == f"https://host/repository.{ending}"
    with pytest.raises(Failure):
        require_storage_uri(f"https://host/repository.{ending}x")


# ONNX Runtime


def test_images_of_another_size(run: Run) -> None:
    assert run(*ONNXRUNTIME, "--input", "3x24x20").code == 0
    shape = onnx.load("out/model.onnx").graph.input[0].type.tensor_type.shape
    assert [dim.dim_value for dim in shape.dim][1:] == [3, 24, 20]
    assert json.loads(Path("out/manifest.json").read_text())
