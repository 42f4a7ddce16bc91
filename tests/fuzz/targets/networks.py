"""Networks that others wrote: prototxts, by both of our readers, and ONNX models."""

from __future__ import annotations

from pathlib import Path

from fuzz import built
from fuzz.mutate import wire
from fuzz.mutate.octets import mostly
from fuzz.mutate.tokens import Tokens
from fuzz.target import Target
from resnetgen.cli.exits import Exit
from resnetgen.comparison import prototxt
from resnetgen.errors import Source
from resnetgen.formats.caffe.lift import lift
from resnetgen.formats.caffe.model.read import parse
from resnetgen.formats.caffe.model.schema import message
from resnetgen.formats.onnx.lift import lift as lift_onnx
from resnetgen.formats.onnx.model.read import read_model
from resnetgen.formats.values import show
from resnetgen.verification import caffe

_FOREIGN = r"""# written by hand
name: "net\n\303\251\x41\u00e9" force_backward: true state { phase: TEST level: 1 stage: 'deploy' }
input: 'data' input_shape { dim: [1, 3, 0x10, 020] };
layer { name: "d" type: "Data" top: "label" include { phase: TRAIN } data_param { batch_size: 1 } }
layer <
  name: "c" "1" type: "Convolution" bottom: "data" top: "c1"  # a comment
  param { lr_mult: 1.5e-1 name: "shared" } param { lr_mult: 2f }
  convolution_param { num_output: 4 kernel_size: [3, 3] pad_h: 1 pad_w: 1 weight_filler { type: "msra" } dilation: 2 }
>
layer { name: "bn" type: "BatchNorm" bottom: "c1" top: "c1" batch_norm_param { use_global_stats: true eps: 1e-05 } }
layer { name: "s" type: "Scale" bottom: "c1" top: "c1" scale_param { bias_term: true } include { not_stage: "x" } }
layer { name: "r" type: "ReLU" bottom: "c1" top: "r" relu_param { negative_slope: -inf } exclude { min_level: 3 } }
layer { name: "e" type: "Eltwise" bottom: "r" bottom: "c1" top: "e" eltwise_param { operation: SUM coeff: 1 coeff: 1 } }
layer { name: "p" type: "Pooling" bottom: "e" top: "p" pooling_param { pool: AVE global_pooling: true engine: CUDNN } }
layer { name: "x" type: "Python" bottom: "p" top: "x" python_param { module: "m" } my_param { deep < er: nan a: .5 > } }
"""
_INPUTS = """\
name: "inputs"
layer { name: "data" type: "Input" top: "a" top: "b" input_param { shape: { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "cat" type: "Concat" bottom: "a" bottom: "b" top: "cat" concat_param { concat_dim: 1 } }
layer { name: "slice" type: "Slice" bottom: "cat" top: "s" top: "t" slice_param { axis: 1 slice_point: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "t" top: "fc" inner_product_param { num_output: 3 axis: 1 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
_LAYER = message("LayerParameter").DESCRIPTOR
_WORDS = (
    *(b"{", b"}", b"<", b">", b"[", b"]", b":", b",", b";", b"#", b'"', b"'", b"layer", b"layers", b"input", b"TEST"),
    *(b"input_shape", b"input_dim", b"dim", b"TRAIN", b"MAX", b"AVE", b"SUM", b"PROD", b"CEIL", b"true", b'"data"'),
    *(b"-", b"-inf", b"nan", b"1e-05", b"0x10", b"010", b"4294967296", b"-1", b'"\\400"', b'"\\xZ"', b'"\\U00110000"'),
    *(b'"Convolution"', b'"Pooling"', b'"Scale"', b'"BatchNorm"', b'"Reshape"', b'"Slice"', b'"Crop"', b'"Power"'),
    *(field.name.encode() for field in _LAYER.fields),
    *(inner.name.encode() for field in _LAYER.fields if field.message_type for inner in field.message_type.fields),
)


def parse_for_diff(data: bytes, folder: Path) -> None:
    path = folder / "net.prototxt"
    path.write_bytes(data)
    net = prototxt.load(path)
    for record in net.records:
        for value in record.attributes.values():
            show(value)


def parse_for_caffe(data: bytes, folder: Path) -> None:
    """As verify does, and as a build's read-back does."""
    path = folder / "net.prototxt"
    path.write_bytes(data)
    net = caffe.load(path, path.with_suffix(".caffemodel"), None)
    lift(parse(Source(net.shown, net.text)))


def prototxt_seeds() -> list[bytes]:
    return [_FOREIGN.encode(), _INPUTS.encode(), *built.files(".prototxt")]


def parse_onnx(data: bytes, folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(data)
    lift_onnx(read_model(path))


def onnx_seeds() -> list[bytes]:
    return built.files(".onnx")


_EXITS = frozenset({Exit.MODEL, Exit.LIMIT})

NETWORKS = (
    Target("prototxt", parse_for_diff, prototxt_seeds, mostly(Tokens(_WORDS)), _EXITS),
    Target("caffe", parse_for_caffe, prototxt_seeds, mostly(Tokens(_WORDS)), _EXITS),
    Target("onnx", parse_onnx, onnx_seeds, mostly(wire.mutate), _EXITS),
)
