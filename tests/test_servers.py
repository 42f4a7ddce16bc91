"""Real servers, loaded with what deploy wrote: Triton's core, and MLServer through `resnetgen serve`.

RESNETGEN_TRITON_PYTHON and RESNETGEN_SERVE_PYTHON name the Pythons of environments that have them; .ci/servers makes
both. RESNETGEN_SOAK_SECONDS: how long eight clients ask at once.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from servers import triton
from servers.process import Server, free_port, running

pytest.importorskip("geventhttpclient", reason="the client is tritonclient[http]")
http = pytest.importorskip("tritonclient.http")
PIL = pytest.importorskip("PIL.Image")

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[1]
SPEC = "resnet20_cifar"
CLASSES, LARGEST = 10, 8
LABELS = [f"label {number}" for number in range(CLASSES)]
CLIENTS = 8
SOAK = float(os.environ.get("RESNETGEN_SOAK_SECONDS", "60"))
Array = npt.NDArray[Any]


def deploy(*options: str) -> None:
    command = [sys.executable, "-m", "resnetgen.cli", "deploy", SPEC, "--init", "random-stats", *options]
    subprocess.run(command, check=True, capture_output=True)


def images(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, 3, 32, 32), np.float32) * 60


@dataclass(frozen=True)
class Served:
    """A model on a server, and the file that it was made of."""

    server: Server
    model: str
    file: Path

    @property
    def is_ours(self) -> bool:
        """On `resnetgen serve`."""
        return self.server.log_file.stem != "triton"

    @cached_property
    def client(self) -> Any:
        return http.InferenceServerClient(self.server.address, connection_timeout=60, network_timeout=60)

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(self.file)

    def expected(self, data: Array) -> Array:
        """By ONNX Runtime itself."""
        return np.asarray(self.session.run(None, {self.session.get_inputs()[0].name: data})[0])

    def ask(self, data: Array, name: str = "input", classes: int = 0, client: Any = None, **where: str) -> Array:
        """As JSON, which both servers know."""
        kind = {"float32": "FP32", "uint8": "UINT8"}[str(data.dtype)]
        asked = http.InferInput(name, list(data.shape), kind)
        asked.set_data_from_numpy(data, binary_data=False)
        wanted = http.InferRequestedOutput("output", binary_data=False, class_count=classes)
        found = (client or self.client).infer(self.model, [asked], outputs=[wanted], **where)
        return np.asarray(found.as_numpy("output"))

    def post(self, body: str) -> dict[str, Any]:
        """What curl would send."""
        url = f"http://{self.server.address}/v2/models/{self.model}/infer"
        request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
        return dict(json.load(urllib.request.urlopen(request, timeout=60)))


def assert_answers(served: Served, data: Array, **where: str) -> None:
    np.testing.assert_allclose(served.ask(data, **where), served.expected(data), rtol=1e-5, atol=1e-7)


# The servers


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("servers")
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    return folder


@pytest.fixture(scope="module")
def core() -> triton.Triton:
    if not (python := os.environ.get("RESNETGEN_TRITON_PYTHON")):
        pytest.skip("RESNETGEN_TRITON_PYTHON names no environment with nvidia-pytriton")
    found = triton.Triton(Path(python))
    if found.lacks:
        pytest.skip(f"Triton cannot run here: {found.lacks}")
    return found


@pytest.fixture(scope="module")
def repository(core: triton.Triton, work: Path) -> Path:
    """Models as users deploy them, and three versions of one to choose from."""
    made = work / "repository"
    batching = (
        "--server",
        "triton",
        "-o",
        str(made),
        "--labels",
        str(work / "labels.txt"),
        "--max-batch",
        str(LARGEST),
    )
    deploy(*batching, "--preferred-batch", "4")
    deploy(*batching, "--name", "bytes", "--embed-preprocess")
    deploy("--server", "triton", "-o", str(made), "--name", "plain")
    for name, latest in (("newest", "1"), ("both", "2")):
        for seed in ("0", "1", "2"):
            deploy(*batching, "--name", name, "--latest", latest, "--seed", seed)
    triton.adapt(made)
    return made


@pytest.fixture(scope="module")
def triton_server(core: triton.Triton, repository: Path, work: Path) -> Iterator[Server]:
    with core.serving(repository, work) as server:
        yield server


@pytest.fixture(scope="module")
def serve_python() -> str:
    here = sys.executable if find_spec("mlserver") else ""
    if not (python := os.environ.get("RESNETGEN_SERVE_PYTHON", here)):
        pytest.skip("RESNETGEN_SERVE_PYTHON names no environment with resnetgen[serve]")
    return python


Serve = Callable[..., Server]


@pytest.fixture(scope="module")
def serve(serve_python: str, work: Path) -> Iterator[Serve]:
    """`resnetgen serve`, of a folder that is deployed with these options."""
    with ExitStack() as stack:

        def start(name: str, *options: str) -> Server:
            folder, port = work / name, free_port()
            deploy("--server", "onnxruntime", "-o", str(folder), "--labels", str(work / "labels.txt"), *options)
            command = [serve_python, "-m", "resnetgen.cli", "serve", str(folder), "--port", str(port)]
            return stack.enter_context(running(command, port, work / f"{name}.log", os.environ))

        yield start


@pytest.fixture(scope="module")
def serve_server(serve: Serve) -> Server:
    return serve("served")


@pytest.fixture(params=["triton", "serve"])
def served(request: pytest.FixtureRequest, work: Path) -> Iterator[Served]:
    """The same network on both."""
    server = request.getfixturevalue(f"{request.param}_server")
    file = work / ("served/model.onnx" if request.param == "serve" else f"repository/{SPEC}/1/model.onnx")
    served = Served(server, SPEC, file)
    with served.client:
        yield served


# Answers


def test_it_loads_without_a_warning(served: Served) -> None:
    assert served.client.is_server_ready()
    assert served.client.is_model_ready(SPEC)
    log = served.server.log
    if served.is_ours:  # two lines, and nothing else
        assert [line.split()[0] for line in log.splitlines()] == [str(served.file), "resnetgen"]
    else:
        assert "successfully loaded" in log
        assert triton.warnings(log) == []


def test_what_it_says_of_the_model(served: Served) -> None:
    said = served.client.get_model_metadata(SPEC)
    for where, values in (("inputs", served.session.get_inputs()), ("outputs", served.session.get_outputs())):
        shapes = [[-1, *value.shape[1:]] for value in values]
        assert [tensor["name"] for tensor in said[where]] == [value.name for value in values]
        assert [tensor["shape"] for tensor in said[where]] == shapes
        assert [tensor["datatype"] for tensor in said[where]] == ["FP32"]


@pytest.mark.parametrize("batch", [1, 3, LARGEST])
def test_answers_equal_onnxruntimes_own(served: Served, batch: int) -> None:
    assert_answers(served, images(batch))


def test_another_models_answers_are_found_out(served: Served, work: Path) -> None:
    """The control of all that compares answers: weights of another seed."""
    deploy("--server", "onnxruntime", "-o", str(work / "other"), "--seed", "1")
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


def test_eight_clients_at_once(served: Served) -> None:
    """Every answer is right and none is lost. Batches of different images and sizes are put together by Triton."""
    questions = [images(1 + seed % 3, seed) for seed in range(24)]
    answers = [served.expected(data) for data in questions]
    tell_apart = min(abs(a[0] - b[0]).max() for a, b in itertools.combinations(answers, 2))
    assert tell_apart > 1e-3, "an answer to another client's image would pass"
    until = time.monotonic() + SOAK

    def ask(first: int) -> tuple[int, int]:
        client = http.InferenceServerClient(served.server.address, connection_timeout=60, network_timeout=60)
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


# What predict says is what the servers say


@pytest.fixture(scope="module")
def picture(work: Path) -> Path:
    pixels = np.random.default_rng(7).integers(0, 256, (50, 40, 3), np.uint8)
    PIL.fromarray(pixels).save(work / "cat.png")
    return work / "cat.png"


def program(*args: object) -> str:
    command = [sys.executable, "-m", "resnetgen.cli", *map(str, args)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


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


# Triton alone


def test_a_batch_over_the_limit(triton_server: Server, work: Path) -> None:
    served = Served(triton_server, SPEC, work / f"repository/{SPEC}/1/model.onnx")
    with pytest.raises(http.InferenceServerException, match=f"batch-size must be <= {LARGEST}"):
        served.ask(images(LARGEST + 1))
    assert_answers(served, images(LARGEST))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_repository_without_batching(triton_server: Server, repository: Path, batch: int) -> None:
    assert_answers(Served(triton_server, "plain", repository / "plain/1/model.onnx"), images(batch))


def test_a_model_that_takes_bytes(triton_server: Server, repository: Path, picture: Path) -> None:
    served = Served(triton_server, "bytes", repository / "bytes/1/model.onnx")
    pixels = np.random.default_rng(3).integers(0, 256, (3, 32, 32, 3), np.uint8)
    assert_answers(served, pixels)
    body = program("predict", served.file.parent, picture, "--request")
    assert json.loads(body)["inputs"][0]["datatype"] == "UINT8"
    assert len(served.post(body)["outputs"][0]["data"]) == 5


@pytest.mark.parametrize(("name", "served_versions"), [("newest", "3"), ("both", "23")])
def test_versions(triton_server: Server, repository: Path, name: str, served_versions: str) -> None:
    for version in "123":
        served = Served(triton_server, name, repository / name / version / "model.onnx")
        if version in served_versions:
            assert_answers(served, images(2), model_version=version)
        else:
            with pytest.raises(http.InferenceServerException, match=f"(version {version} is not|not ready|unknown)"):
                served.ask(images(2), model_version=version)
    assert_answers(Served(triton_server, name, repository / name / "3/model.onnx"), images(2))


Damage = tuple[Callable[[str], str], str]
DAMAGES: dict[str, Damage] = {
    "other_name": (lambda text: text.replace('name: "other_name"', 'name: "tony"'), "unexpected directory name"),
    "inputs": (lambda text: text.replace('"input"', '"data"'), "config.pbtxt says"),
    "outputs": (lambda text: text.replace('"output"', '"prob"'), "config.pbtxt says"),
    "images": (lambda text: text.replace("[ 3, 32, 32 ]", "[ 3, 32, 31 ]"), "config.pbtxt says"),
    "type": (lambda text: text.replace("TYPE_FP32", "TYPE_UINT8", 1), "config.pbtxt says"),
    "batch": (
        lambda text: text.replace("preferred_batch_size: 4", "preferred_batch_size: 9"),
        "preferred size must be",
    ),
    "labels": (lambda text: text.replace('"labels.txt"', '"names.txt"'), "names.txt: No such file"),
    "braces": (lambda text: text.replace("}", "", 1), "failed to read text proto"),
}


def test_damaged_packages_do_not_load(core: triton.Triton, repository: Path, tmp_path: Path) -> None:
    """The control of all that loads."""
    for name in (*DAMAGES, "sound"):
        shutil.copytree(repository / SPEC, tmp_path / "repository" / name)
        config = tmp_path / "repository" / name / "config.pbtxt"
        sound = config.read_text().replace(f'name: "{SPEC}"', f'name: "{name}"')
        damage, _ = DAMAGES.get(name, (str, ""))
        assert (damage(sound) == sound) == (name == "sound")
        config.write_text(damage(sound))
    with (
        core.serving(tmp_path / "repository", tmp_path, wait=False) as server,
        http.InferenceServerClient(server.address) as client,
    ):
        assert [name for name in (*DAMAGES, "sound") if client.is_model_ready(name)] == ["sound"]
        for name, (_, said) in DAMAGES.items():
            assert any(f"'{name}'" in line and said in line for line in triton.warnings(server.log)), name


# `resnetgen serve` alone


def test_a_fixed_batch(serve: Serve, work: Path) -> None:
    served = Served(serve("two", "--batch", "2"), SPEC, work / "two/model.onnx")
    assert_answers(served, images(2))
    for batch in (1, 3):
        with pytest.raises(
            http.InferenceServerException,
            match=re.escape(f"has shape [{batch}, 3, 32, 32], the model takes [2, 3, 32, 32]"),
        ):
            served.ask(images(batch))
    assert_answers(served, images(2))


def test_it_listens_on_one_port_of_loopback(serve_server: Server) -> None:
    sockets = {os.readlink(file) for file in Path(f"/proc/{serve_server.process.pid}/fd").iterdir()}
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    assert listening == [f"0100007F:{serve_server.port:04X}"]


def test_a_port_in_use(serve_server: Server, serve_python: str, work: Path) -> None:
    command = [serve_python, "-m", "resnetgen.cli", "serve", str(work / "served"), "--port", str(serve_server.port)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr == (
        f"error[output]: port {serve_server.port} of 127.0.0.1 cannot be taken: Address already in use\n"
        "  hint: --port names another; 0 takes one that is free\n"
    )


def test_ctrl_c(serve: Serve) -> None:
    server = serve("ended")
    assert server.end() == 0
    assert len(server.log.splitlines()) == 2


def test_the_readmes_three_commands(
    serve_python: str, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the installation on, which .ci/servers has done; on a port of its own."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## An answer from a server.*?```\n(.*?)```", text, re.DOTALL)
    assert block
    port = str(free_port())
    steps = re.findall(r"\$ (.*)\n((?:[^$].*\n)+)", block[1].replace("8080", port))
    (deploy, written), (serve, said), (ask, answer) = steps
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    program = Path(".venv/bin/resnetgen")
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(serve_python).with_name("resnetgen"))
    y, x = np.mgrid[:240, :320]
    PIL.fromarray(np.stack([x % 256, y, (x + y) % 256], 2).astype(np.uint8)).save("cat.jpg")
    install = "python3.11 -m venv .venv && .venv/bin/pip install '.[serve]' && "
    assert deploy.startswith(install)
    listed = shell(deploy.removeprefix(install))
    assert [line.split()[0] for line in listed.splitlines()] == [line.split()[0] for line in written.splitlines()]
    command = ["bash", "-c", f"{serve} --port {port}"]
    with running(command, int(port), tmp_path / "serve.log", os.environ) as server:
        found, wanted = json.loads(shell(ask)), json.loads(answer)
        assert server.log == said
    assert found.keys() == wanted.keys()
    (output,), (expected,) = found["outputs"], wanted["outputs"]
    (value, *rest), (wanted_value, *wanted_rest) = (each.pop("data")[0].split(":") for each in (output, expected))
    assert (rest, output) == (wanted_rest, expected)
    assert float(value) == pytest.approx(float(wanted_value), abs=1e-3)


def shell(command: str) -> str:
    return subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True).stdout
