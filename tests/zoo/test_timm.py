"""What is timm's alone: its networks at a smaller output stride, and those that differ from them in the output only."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import oracle

TOLERANCE = 1e-4

# A network, an output stride, and what a spec says for it. A stage's first block keeps the dilation of the one before.
DILATED = [
    ("resnet18d", 16, ["conv5_x: basic.dilated(512) x2"]),
    ("resnet34", 8, ["conv4_x: basic(256, dilation=2) x6", "conv5_x: basic(512, dilation=4) x3"]),
    ("resnetblur18", 16, ["conv5_x: basic.aa(512, dilation=2) x2"]),
    ("resnet50", 8, ["conv4_x: bottleneck(256, dilation=2) x6", "conv5_x: bottleneck(512, dilation=4) x3"]),
    ("resnet50d", 16, ["conv5_x: bottleneck.dilated(512) x3"]),
    ("resnet50d", 8, ["conv4_x: bottleneck.dilated(256) x6", "conv5_x: bottleneck.dilated(512, dilation=4) x3"]),
    ("resnetaa50d", 16, ["conv5_x: bottleneck.dilated(512) x3"]),
    ("resnetblur50", 8, ["conv4_x: bottleneck.aa(256, dilation=2) x6", "conv5_x: bottleneck.aa(512, dilation=4) x3"]),
    ("resnetblur50d", 16, ["conv5_x: bottleneck.dilated(512) x3"]),
    ("seresnext26d_32x4d", 16, ["conv5_x: bottleneck.dilated(512, $groups, $base, $se) x2"]),
]

# What is wrong on purpose: names and shapes of the weights are the same.
WRONG = [
    ("resnet50", 32, "stages: {conv1: '7x7, 64, /2, p=2'}"),
    ("resnet50d", 32, "stages: {conv1: '3x3, 32, /2, p=0 | 3x3, 32 | 3x3, 64'}"),
    (
        "resnet50d",
        32,
        "blocks: {shortcut.D: {choose: [{if: $stride == 1 and $in == $out, then: identity}, "
        "{then: 'avgpool 1x1, /$stride | 1x1, $out, linear'}]}}",
    ),
    ("resnet50d", 16, "stages: {conv5_x: 'bottleneck(512, dilation=2) x3'}"),
    ("resnet50d", 16, "stages: {conv5_x: 'bottleneck.dilated(512, dilation=4) x3'}"),
    ("resnet50d", 16, "stages: {conv5_x: 'bottleneck.dilated(512, dilation=2 + ($index == 2)) x3'}"),
    (
        "resnet50d",
        16,
        "stages: {conv5_x: 'bottleneck.dilated(512) x3'}\n"
        "blocks: {shortcut.dilated: {params: {width: null}, choose: "
        "[{if: $index, then: identity}, {then: 'avgpool 3x3, p=1 | 1x1, $width, linear'}]}}",
    ),
    ("resnetblur50", 16, "stages: {conv5_x: 'bottleneck(512, dilation=2) x3'}"),
    ("resnetaa50", 32, "stages: {conv5_x: {block: 'bottleneck(512)'}}"),
    ("resnet50_gn", 32, "defaults: {norm: groupnorm 16}"),
]


def difference(text: str, name: str, output_stride: int, folder: Path) -> float:
    """How far the network of a spec that extends timm's is from timm's own at an output stride."""
    spec = folder / "net.yaml"
    spec.write_text(f"extends: timm/{name}\n{text}\n", encoding="utf-8")
    size = 64 if "aa" in name else 72
    return oracle.folded_error(spec, f"timm/{name}", size, folder, output_stride=output_stride)


@pytest.mark.torch
@pytest.mark.parametrize(("name", "output_stride", "rows"), DILATED)
def test_output_strides(name: str, output_stride: int, rows: list[str], tmp_path: Path) -> None:
    text = "\n  ".join(["stages:", *rows])
    assert difference(text, name, output_stride, tmp_path) < TOLERANCE


@pytest.mark.torch
@pytest.mark.parametrize(("name", "output_stride", "text"), WRONG)
def test_what_is_wrong_differs(name: str, output_stride: int, text: str, tmp_path: Path) -> None:
    """Negative controls."""
    assert difference(text, name, output_stride, tmp_path) > 10 * TOLERANCE
