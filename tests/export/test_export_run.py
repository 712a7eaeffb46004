"""`crossmatch export`: what the folder holds and what it must not, every method's network, and what is refused."""

import io
import json
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from exporting import Sliced, run_of

import crossmatch
from crossmatch.errors import UserError
from crossmatch.export.export_run import FORMATS, export_run
from crossmatch.export.program import Probabilities, check_equal, example, quiet
from crossmatch.networks import UNet
from crossmatch.networks.unet import UNetSettings
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.checkpoint import load_checkpoint
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_of("slices", tmp_path / "run").folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The format onnx without its exporter, which takes seconds."""
    fake = FORMATS["onnx"]._replace(write=lambda network, size, folder: (folder / "model.onnx").write_bytes(b"network"))
    monkeypatch.setitem(FORMATS, "onnx", fake)


def everything(folder: Path) -> bytes:
    """All bytes of the files below, those inside of archives too."""
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found.append(content)
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                found += [archive.read(name) for name in archive.namelist()]
    return b"\n".join(found)


@pytest.mark.parametrize("format", list(FORMATS))
def test_nothing_exported_names_this_machine_or_a_case(format: str, sliced: Sliced, tmp_path: Path) -> None:
    folder = sliced.exported if format == "onnx" else export_run(sliced.run, tmp_path / "model", format)
    content = everything(folder)
    assert b"teacher_run" in content  # the settings are there
    for word in ("secret", str(sliced.run.parent), str(ROOT), str(Path.home()), sys.prefix, "site-packages"):
        assert word.encode() not in content, word


def test_the_folder_of_each_format(run: Path, tmp_path: Path, quick: None) -> None:
    common = {"README.md", "LICENSE", "SHA256SUMS", "model.json", "infer.py", "infer_cases.py"}
    names = {
        "onnx": {*common, "infer_pictures.py", "model.onnx"},
        "torch": {*common, "infer_pictures.py", "model.pt2"},
        "bundle": {"LICENSE", "SHA256SUMS", "model.json", "models/model.ts", "docs/README.md", "configs/metadata.json"}
        | {"configs/inference.json", "scripts/__init__.py", "scripts/infer.py", "scripts/infer_cases.py"}
        | {"scripts/bundle_steps.py"},
    }
    assert names.keys() == FORMATS.keys()
    for format, wanted in names.items():
        folder = export_run(run, tmp_path / format, format)
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == wanted
        about = json.loads((folder / "model.json").read_text())
        assert (folder / about["model"]["file"]).is_file()
        assert about["model"]["input_shape"] == ["batch", 1, 16, 16]
        assert next(each["colour"] for each in about["classes"]) == [0, 0, 0]
        assert len({tuple(each["colour"]) for each in about["classes"]}) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "onnx", "run", "torch"]


def test_a_torch_program_gives_what_the_network_gives(tmp_path: Path) -> None:
    """Of a teacher with averaged weights, two steps old: what `predict` loads is what is exported."""
    data = write_dataset(tmp_path / "data")
    settings = [*TINY, "method.name=mean_teacher", "train.ema=0.5", "train.steps=2", "train.validate_every=2"]
    fit(load_recipe("phantom", settings), data, tmp_path / "run", Quiet())
    export_run(tmp_path / "run", tmp_path / "model", "torch")
    with quiet():
        program = torch.export.load(tmp_path / "model" / "model.pt2").module()
    used = crossmatch.load(tmp_path / "run", device="cpu").network
    student = used.another()
    stored = load_checkpoint(tmp_path / "run/checkpoints/last.safetensors").training
    student.load_state_dict({k.removeprefix("method/network."): v for k, v in stored.items() if "method/network." in k})
    for count in (1, 2, 5):
        images = example(used, (16, 16), count)
        with torch.inference_mode():
            found = program(images)
            assert found.shape == (count, 3, 16, 16)
            assert torch.allclose(found, used(images).softmax(1), atol=1e-6)
            assert not torch.allclose(found, student.eval()(images).softmax(1), atol=1e-6)


def test_another_network_is_noticed() -> None:
    torch.manual_seed(0)
    one, other = (UNet(2, 1, 3, UNetSettings(width=4, dropout=(0.0, 0.0))) for _ in range(2))
    images = example(one, (16, 16), 2)
    with pytest.raises(UserError, match="does not compute what the network does"):
        check_equal(Probabilities(one)(images), other, images, "ONNX")


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_the_python_of_the_model_card_runs(
    format: str, sliced: Sliced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sliced.exported if format == "onnx" else export_run(sliced.run, tmp_path / "model", format)
    (code,) = re.findall(r"^```py\n(.*?)^```", (folder / "README.md").read_text(), re.M | re.S)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "infer", raising=False)
    space = {"voxels": np.arange(17 * 13 * 3).reshape(17, 13, 3), "affine": None, "spacing_mm": None}
    with quiet():
        exec(compile(code, "README.md", "exec"), space)
    sys.modules.pop("infer")
    wanted = crossmatch.load(sliced.run, device="cpu").predict(space["voxels"])
    assert np.mean(space["labels"] == wanted) > 0.999
