"""The scenes of each command: what a user types, and the files beside it."""

from __future__ import annotations

import io
from itertools import cycle

import numpy as np

from fuzz import built
from fuzz.scene import Scene
from fuzz.targets.images import image_seeds
from support.checkpoint_files import FILES
from support.foreign_models import content

_SPEC = """\
use: std
input: 3x4x4
params: {classes: 3}
preprocess: {mean: [104, 117, 123], std: [58, 57, 56], color: bgr, resize: 5x5}
stages: {a: "2x2 | [3x3, 2; 3x3, 2, C=2] /2", head: gap | flatten | fc $classes | softmax}
"""
_NET = {"net.yaml": _SPEC.encode()}
_LABELS = {"labels.txt": b"tench\ngoldfish, Carassius auratus\nshark\n"}
_PREPROCESS = b'{"color": "bgr", "mean": [104, 117, 123], "resize": [9, 9], "crop": [8, 8], "embedded": false}\n'
_FOREIGN = ("rank0", "bools", "argmax", "two_outputs", "strings", "sequence", "branches", "weights_as_constants")
"""Models of other exporters: outputs of other types, several, and inside integers, lists and other graphs."""


def summary_scenes() -> list[bytes]:
    child = _NET | {"child.yaml": b"extends: net.yaml\nstages: {a: {repeat: 2}}\n"}
    return [
        _scene("summary net.yaml", _NET),
        _scene("summary net.yaml --input 3x6x6 --set classes=7 --json", _NET),
        _scene("summary child.yaml --max-nodes 400", child),
        Scene(("summary", "--block", "[3x3, 8; 3x3, 8]", "--input", "8x4x4")).pack(),
        _scene("runtimes --json"),
    ]


def build_scenes() -> list[bytes]:
    return [
        _scene("build net.yaml --target onnx --target caffe --target ir", _NET),
        _scene("build net.yaml --init random-stats --seed 3 --batch 2 --no-fold --opset 13", _NET),
        _scene("build net.yaml --target caffe --no-weights --dialect opencv --output-dir out", _NET),
        _scene("build net.yaml --weights w.caffemodel", _NET | {"w.caffemodel": _residual("bvlc", "caffemodel")}),
        _scene("build net.yaml --weights w.onnx --reinit head", _NET | {"w.onnx": _residual("unfolded", "onnx")}),
        _scene("build net.yaml --weights w.npz --allow-nonfinite", _NET | {"w.npz": FILES["npz"]}),
        _scene("build net.yaml --embed-preprocess --runtime ort-1.15 --verify", _NET),
        _scene("build net.yaml --external-data --input-name data --output-name prob", _NET),
    ]


def verify_scenes() -> list[bytes]:
    model = {"m.onnx": _residual("unfolded", "onnx")}
    spec = {"residual.yaml": built.NETS["residual"].encode(), "generated/residual/residual.onnx": model["m.onnx"]}
    image, saved = io.BytesIO(), io.BytesIO()
    np.save(image, np.ones((2, 3, 4, 4), np.float32))
    np.savez(saved, output=np.ones((1, 3), np.float32))
    return [
        *(_scene("verify m.onnx --batch 2 --layers", {"m.onnx": content(name)}) for name in _FOREIGN),
        _scene("verify residual.yaml --json", spec),
        _scene("verify m.onnx --on onnxruntime --on n.onnx --batch 2", model | {"n.onnx": model["m.onnx"]}),
        _scene("verify m.onnx --data d.npy --tolerance 1e-3 --seeds 1", model | {"d.npy": image.getvalue()}),
        _scene("verify m.onnx --save-outputs s.npz --input-seed 4", model),
        _scene("verify m.onnx --on onnxruntime --against s.npz --tolerance 1", model | {"s.npz": saved.getvalue()}),
    ]


def predict_scenes() -> list[bytes]:
    foreign = {"f/model.onnx": content("rank0"), "f/preprocess.json": _PREPROCESS, "i": image_seeds()[0]}
    named = foreign | {"f/labels.txt": _LABELS["labels.txt"] + b"ray\nhen\n"}
    options = cycle(("--top 2", "--request", "--json", "--batch 1"))
    return [
        *(_scene(f"predict f i i {next(options)}", named | {"i": data}) for data in image_seeds()),
        *(_scene("predict f i", foreign | {"f/model.onnx": content(name)}) for name in _FOREIGN),
        _scene("predict f i --output scores", foreign | {"f/model.onnx": content("two_outputs")}),
        _scene("predict f i", {"f/model.onnx": _residual("onnx", "onnx"), "i": image_seeds()[0]}),
    ]


def diff_scenes() -> list[bytes]:
    nets = {"a.prototxt": _residual("bvlc", "prototxt"), "b.prototxt": _residual("opencv", "prototxt")}
    return [
        _scene("diff a.prototxt b.prototxt", nets),
        _scene("diff a.prototxt b.prototxt --ignore-names --json", nets),
        _scene("diff a.prototxt b.prototxt --bytes", nets),
        _scene("diff a.prototxt net.yaml --dialect opencv", nets | _NET),
    ]


def weights_scenes() -> list[bytes]:
    endings = {"caffemodel": "caffemodel", "safetensors": "safetensors", "torch": "pth", "npz": "npz", "onnx": "onnx"}
    own = _NET | {"w.caffemodel": _residual("bvlc", "caffemodel")}
    return [
        *(_scene(f"weights show w.{ending}", {f"w.{ending}": FILES[kind]}) for kind, ending in endings.items()),
        _scene("weights show w.onnx --json", {"w.onnx": _residual("unfolded", "onnx")}),
        _scene("weights convert w.caffemodel out.npz --spec net.yaml", own),
        _scene("weights convert w.caffemodel out.safetensors --spec net.yaml --names paths", own),
    ]


def deploy_scenes() -> list[bytes]:
    triton = "deploy net.yaml --server triton -o repository --labels labels.txt --max-batch 8"
    kserve = "deploy net.yaml --server kserve -o served --storage-uri s3://bucket/folder"
    new = _NET | _LABELS
    standing = new | {
        "repository/net/config.pbtxt": built.config(_SPEC),
        "repository/net/labels.txt": _LABELS["labels.txt"],
        "repository/net/1/model.onnx": _residual("unfolded", "onnx"),
    }
    return [
        _scene(triton, new),
        _scene(triton, standing),
        _scene(f"{triton} --preferred-batch 4 --queue-delay 100 --instances 2 --latest 2", new),
        _scene(f"{kserve} --cpu 2 --memory 4Gi --autoscaler hpa --max-replicas 4 --scale-target 80", new),
        _scene("deploy net.yaml --server onnxruntime -o served --labels labels.txt", new),
    ]


def _scene(line: str, files: dict[str, bytes] | None = None) -> bytes:
    return Scene(tuple(line.split()), files or {}).pack()


def _residual(folder: str, ending: str) -> bytes:
    return built.file(f"{folder}/residual/residual.{ending}")
