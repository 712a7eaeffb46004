"""The snippets of docs/export.md: a FastAPI server, Triton's configuration and its client, with an exported model."""

import gzip
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from exporting import Sliced

from crossmatch.inference.predict import Options, predict

PAGE = (Path(__file__).parents[2] / "docs/export.md").read_text(encoding="utf-8")


def snippet(name: str) -> str:
    """The Python on the page that begins with the name of its file."""
    (found,) = re.findall(rf"^```py\n# {re.escape(name)}\n(.*?)^```", PAGE, re.M | re.S)
    return found


@pytest.fixture
def folder(sliced: Sliced, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The exported folder as working directory, from which snippets import infer."""
    monkeypatch.chdir(sliced.exported)
    monkeypatch.syspath_prepend(str(sliced.exported))
    monkeypatch.delitem(sys.modules, "infer", raising=False)
    yield sliced.exported
    sys.modules.pop("infer", None)


def masked(sliced: Sliced, place: Path) -> tuple[Path, np.ndarray]:
    """A scan, and its mask by `predict`."""
    scan = sliced.scans / "case_0_0000.nii.gz"
    (mask,) = predict(sliced.run, scan, place, Options(device="cpu"))
    return scan, np.asarray(nib.load(mask).dataobj)


def test_a_server_in_ten_lines(sliced: Sliced, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="FastAPI is not installed")
    pytest.importorskip("httpx", reason="httpx is not installed")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Starlette, about its own client
        from fastapi.testclient import TestClient

    code = snippet("serve.py")
    assert len([line for line in code.splitlines() if line.strip()]) <= 11
    space: dict[str, object] = {}
    exec(compile(code, "serve.py", "exec"), space)
    scan, wanted = masked(sliced, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = TestClient(space["app"])
        answer = client.post("/segment", content=scan.read_bytes(), headers={"Content-Type": "application/gzip"})
    assert answer.status_code == 200
    mask = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    assert np.mean(np.asarray(mask.dataobj) == wanted) >= 0.9999
    assert np.array_equal(mask.affine, nib.load(scan).affine)


def test_the_configuration_of_triton_is_that_of_the_model(sliced: Sliced) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")
    (text,) = re.findall(r'^```\n(name: "heart".*?)^```', PAGE, re.M | re.S)
    assert text.count("{") == text.count("}")
    assert text.count("[") == text.count("]")
    session = runtime.InferenceSession(str(sliced.exported / "model.onnx"), providers=["CPUExecutionProvider"])
    for kind, (node,) in (("input", session.get_inputs()), ("output", session.get_outputs())):
        (found,) = re.findall(rf'^{kind} \[ {{ name: "(\w+)" data_type: (\w+) dims: \[ ([\d, ]+) \] }} \]$', text, re.M)
        name, form, dims = found
        assert (name, form, node.type) == (node.name, "TYPE_FP32", "tensor(float)")
        assert node.shape[0] == "batch"
        assert len(dims.split(",")) == len(node.shape) - 1
    fields = set(re.findall(r"^(\w+)", text, re.M))
    assert fields == {"name", "backend", "max_batch_size", "input", "output", "dynamic_batching"}


def test_the_client_of_triton(sliced: Sliced, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime answers in the place of the server."""
    runtime = pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")
    session = runtime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])

    class InferInput:
        def __init__(self, name: str, shape: list[int], kind: str) -> None:
            assert kind == "FP32"
            self.name, self.shape = name, shape

        def set_data_from_numpy(self, values: np.ndarray) -> None:
            assert (list(values.shape), values.dtype) == (self.shape, np.float32)
            self.values = values

    def infer(model: str, given: list[InferInput]) -> SimpleNamespace:
        assert f'name: "{model}"' in PAGE
        return SimpleNamespace(as_numpy=lambda name: session.run([name], {one.name: one.values for one in given})[0])

    package, http = ModuleType("tritonclient"), ModuleType("tritonclient.http")
    http.InferInput, http.InferenceServerClient = InferInput, lambda place: SimpleNamespace(infer=infer)
    package.http = http
    monkeypatch.setitem(sys.modules, "tritonclient", package)
    monkeypatch.setitem(sys.modules, "tritonclient.http", http)
    scan, wanted = masked(sliced, tmp_path / "ours")
    for name in ("infer.py", "model.json", "SHA256SUMS"):  # no model.onnx
        shutil.copy(folder / name, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copy(scan, "scan.nii.gz")
    exec(compile(snippet("client.py"), "client.py", "exec"), {})
    assert np.mean(np.asarray(nib.load("mask.nii.gz").dataobj) == wanted) >= 0.9999
