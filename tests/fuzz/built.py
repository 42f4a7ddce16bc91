"""What resnetgen makes of small specs: the files that mutants are made of."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from resnetgen.build.options import Options
from resnetgen.build.run import build
from resnetgen.deploy.config import Serving
from resnetgen.deploy.triton import ModelOptions, deploy
from resnetgen.formats.caffe.dialect import Dialect

NETS = {
    "residual": """\
use: std
input: 3x4x4
preprocess: {mean: [104, 117, 123], std: [58, 57, 56], color: bgr, resize: 5x5}
stages: {a: "2x2 | [3x3, 2; 3x3, 2, C=2] /2", head: gap | flatten | fc 3 | softmax}
""",
    "pools": """\
use: std
input: 2x9x9
stages: {a: "maxpool 3x3, /2, ceil | lrn | avgpool 3x3, /2, p=1 | blurpool /2 | 1x1, 4, bias"}
""",
    "activations": """\
use: std
input: 2x3x3
stages: {a: "silu | gelu | groupnorm 2 | mish | relu6 | leakyrelu 0.1 | dropout 0.5 | sigmoid"}
""",
}
"""Small, since what a mutant costs is what its network has."""


@cache
def files(suffix: str) -> list[bytes]:
    """The built files with an ending, or of a name."""
    return [data for name, data in _files().items() if name.endswith(suffix)]


def file(name: str) -> bytes:
    """A built file, by its path: <folder>/<network>/<network>.<ending>, in onnx, unfolded, bvlc or opencv."""
    return _files()[name]


@cache
def config(spec: str) -> bytes:
    """The config.pbtxt with which `deploy` writes a spec called net, with three labels, for batches of eight."""
    with TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "net.yaml").write_text(spec)
        (folder / "labels.txt").write_text("a\nb\nc\n")
        wanted = ModelOptions(labels=folder / "labels.txt", serving=Serving(max_batch=8))
        deploy(str(folder / "net.yaml"), Options(output_dir=folder / "repository"), wanted)
        return (folder / "repository/net/config.pbtxt").read_bytes()


@cache
def _files() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with TemporaryDirectory() as work:
        folder = Path(work)
        for name, text in NETS.items():
            spec = folder / f"{name}.yaml"
            spec.write_text(text)
            onnx = Options(output_dir=folder / "onnx", opset=21, embed_preprocess=name == "residual")
            build([str(spec)], onnx)
            if name == "residual":
                build([str(spec)], replace(onnx, output_dir=folder / "unfolded", fold=False, embed_preprocess=False))
                for dialect in (Dialect.BVLC, Dialect.OPENCV):
                    build([str(spec)], Options(targets=("caffe",), output_dir=folder / dialect, dialect=dialect))
        for path in sorted(folder.rglob("*.*")):
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found
