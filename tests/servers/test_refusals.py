"""Requests that no server can answer: each says so, and goes on."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Callable

import numpy as np
import pytest

from servers.served import CLASSES, SPEC, Served, assert_answers, http, images

pytestmark = pytest.mark.server


WRONG: dict[str, tuple[Callable[[Served], object], str]] = {
    "name": (lambda served: served.ask(images(1), "data"), "unexpected (inference )?input 'data'"),
    "shape": (lambda served: served.ask(images(1)[:, :, :31]), r"shape"),
    "rank": (lambda served: served.ask(images(1)[0]), r"shape"),
    "type": (lambda served: served.ask(images(1).astype(np.uint8)), "(?i)data-?type"),
    "model": (lambda served: served.client.infer("other", []), "(?i)(unknown model|not found)"),
    "no input": (lambda served: served.client.infer(SPEC, []), "input"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_request_gets_the_servers_error_and_the_server_goes_on(served: Served, wrong: str) -> None:
    call, said = WRONG[wrong]
    with pytest.raises(http.InferenceServerException, match=said) as caught:
        call(served)
    assert caught.value.status() in ("400", "404")
    assert_answers(served, images(1))


BROKEN = {
    "no JSON": ('"inputs"', '"inputs'),
    "another output": ('"name":"output"', '"name":"prob"'),
    "a text among the numbers": ("[0.0,", '["a",'),
    "too few numbers": ("[0.0,", "["),
    "too few numbers for the batch": ("[1,3,32,32]", "[2,3,32,32]"),
    "a negative size": ("[1,3,32,32]", "[-1,3,32,32]"),
    "no type": ("FP32", "FLOAT"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_request(served: Served, broken: str) -> None:
    numbers = json.dumps([0.0] * 3 * 32 * 32)
    given = f'{{"name":"input","shape":[1,3,32,32],"datatype":"FP32","data":{numbers}}}'
    body = f'{{"outputs":[{{"name":"output"}}],"inputs":[{given}]}}'
    assert served.post(body)["outputs"][0]["shape"] == [1, CLASSES]
    changed = body.replace(*BROKEN[broken], 1)
    assert changed != body
    with pytest.raises(urllib.error.HTTPError) as caught:
        served.post(changed)
    assert caught.value.code == (
        400 if served.is_ours else caught.value.code
    )  # Triton says 500 to what it cannot parse
    assert json.load(caught.value)["error"]
    assert_answers(served, images(1))
