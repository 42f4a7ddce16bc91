"""What both servers answer, against ONNX Runtime. RESNETGEN_SOAK_SECONDS: how long eight clients ask at once."""

from __future__ import annotations

import itertools
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from servers import triton
from servers.served import CLASSES, LABELS, LARGEST, SPEC, Served, assert_answers, deploy, images, program

CLIENTS = 8
SOAK = float(os.environ.get("RESNETGEN_SOAK_SECONDS", "60"))

pytestmark = pytest.mark.server


def test_it_loads_without_a_warning(served: Served) -> None:
    assert served.client.is_server_ready()
    assert served.client.is_model_ready(SPEC)
    log = served.server.log
    if served.is_ours:  # two lines, and nothing else
        assert [line.split()[0] for line in log.splitlines()] == [str(served.file), "resnetgen"]
    else:
        assert "successfully loaded" in log
        assert triton.warnings(log) == []


def test_metadata_of_the_model(served: Served) -> None:
    said = served.client.get_model_metadata(SPEC)
    for where, values in (("inputs", served.session.get_inputs()), ("outputs", served.session.get_outputs())):
        shapes = [[-1, *value.shape[1:]] for value in values]
        assert [tensor["name"] for tensor in said[where]] == [value.name for value in values]
        assert [tensor["shape"] for tensor in said[where]] == shapes
        assert [tensor["datatype"] for tensor in said[where]] == ["FP32"]


@pytest.mark.parametrize("batch", [1, 3, LARGEST])
def test_answers_equal_onnxruntimes_own(served: Served, batch: int) -> None:
    assert_answers(served, images(batch))


def test_answers_of_another_model_differ(served: Served, work: Path) -> None:
    """The control of all that compares answers: weights of another seed."""
    deploy("--server", "onnxruntime", "-o", work / "other", "--seed", "1")
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_answers(Served(served.server, SPEC, work / "other/model.onnx"), images(1))


@pytest.mark.parametrize("top", [1, 3, 99])
def test_labels(served: Served, top: int) -> None:
    data = images(3)
    rows = served.expected(data)
    found = [[text.split(":") for text in row] for row in served.ask(data, classes=top)]
    assert {len(row) for row in found} == {min(top, CLASSES)}
    for row, texts in zip(rows, found, strict=True):
        best = np.argsort(-row)[:top]
        assert [(int(number), label) for _, number, label in texts] == [(number, LABELS[number]) for number in best]
        np.testing.assert_allclose([float(value) for value, _, _ in texts], row[best], atol=1e-6)


def test_predicts_request(served: Served, picture: Path) -> None:
    folder = served.file.parent
    (predicted,) = json.loads(program("predict", folder, picture, "--json"))
    (output,) = served.post(program("predict", folder, picture, "--request"))["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 5])
    asked = [text.split(":") for text in output["data"]]
    assert [int(number) for _, number, _ in asked] == [guess["class"] for guess in predicted["top"]]
    # The network gives logits, of which predict makes probabilities: they differ by a constant in their logarithm.
    probabilities = np.array([guess["probability"] for guess in predicted["top"]])
    np.testing.assert_allclose(
        np.diff([float(value) for value, _, _ in asked]), np.diff(np.log(probabilities)), atol=5e-6
    )


def test_eight_clients_at_once(served: Served) -> None:
    """Every answer is right and none is lost. Batches of different images and sizes are put together by Triton."""
    questions = [images(1 + seed % 3, seed) for seed in range(24)]
    answers = [served.expected(data) for data in questions]
    tell_apart = min(abs(a[0] - b[0]).max() for a, b in itertools.combinations(answers, 2))
    assert tell_apart > 1e-3, "an answer to another client's image would pass"
    until = time.monotonic() + SOAK

    def ask(first: int) -> tuple[int, int]:
        client = served.connect()
        sent = right = 0
        while time.monotonic() < until:
            which = (first + sent) % len(questions)
            sent += 1
            found = served.ask(questions[which], client=client)
            right += found.shape == answers[which].shape and np.allclose(found, answers[which], rtol=1e-5, atol=1e-6)
        return sent, right

    with ThreadPoolExecutor(CLIENTS) as clients:
        counts = list(clients.map(ask, range(0, 3 * CLIENTS, 3)))
    sent, right = map(sum, zip(*counts, strict=True))
    print(
        f"\n{served.server.log_file.stem}: {CLIENTS} clients, {SOAK:.0f} s, {sent:,} requests, {right:,} right answers"
    )
    assert right == sent
    assert min(count for count, _ in counts) > 0
    assert_answers(served, images(LARGEST))
