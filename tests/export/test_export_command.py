"""`crossmatch export` as users call it: what it says, and what it refuses without leaving anything behind."""

import builtins
import errno
import sys
from pathlib import Path

import pytest
from exporting import run_of

from command import call
from refusal import refuse

PAGES = {"bundle": "docs/README.md", "torch": "README.md"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_of("slices", tmp_path / "run").folder


@pytest.mark.parametrize("format", list(PAGES))
def test_the_command_says_what_comes_next(
    format: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "export", run, tmp_path / "model", "--format", format, "--licence", "CC-BY-4.0")
    assert (code, err) == (0, "")
    then = {"bundle": "see {}/docs/README.md", "torch": "python {}/infer.py SCANS MASKS"}[format]
    assert f"Next: {then.format(tmp_path / 'model')}" in out
    page = (tmp_path / "model" / PAGES[format]).read_text()
    assert "\nlicense: cc-by-4.0\n" in page
    text = (tmp_path / "model/LICENSE").read_text()
    assert "The weights of this model: CC-BY-4.0" in text
    assert (Path(__file__).parents[2] / "LICENSE").read_text() in text  # of the code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "new", "--format", "onxx"],
            "There is no format 'onxx': did you mean onnx?",
        ),
        (["run", "new", "--format", "torch", "--licence", "my licence"], "is no SPDX name, such as CC-BY-4.0 or MIT"),
        (
            ["run", "full", "--format", "torch"],
            "exists and is not an empty folder: name a new one",
        ),
        (["run", "file/new", "--format", "torch"], "cannot be made"),
        (["run", "untrained", "new"], "An export holds one network, and run untrained are several runs: export one"),
        (["run", "untrained"], "An export holds one network, and run untrained are several runs: export one"),
        (["run", "new", "--format", "torch", "--checkpoint", "best"], "has no best checkpoint"),
        (["run", "new", "--format", "torch", "--checkpoint", "gone.safetensors"], "There is no checkpoint"),
        (["run", "new", "--format", "torch", "--evaluation", "gone.json"], "does not exist"),
        (["full", "new", "--format", "torch"], "is no run: it has no run.json"),
        (["untrained", "new", "--format", "torch"], "There is no checkpoint"),
    ],
)
def test_what_is_refused(
    arguments: list[str],
    message: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("kept")
    (tmp_path / "untrained").mkdir()
    (tmp_path / "untrained/run.json").write_bytes((run / "run.json").read_bytes())
    assert message in refuse(capsys, tmp_path, "export", *arguments)
    assert not list(tmp_path.glob(".crossmatch-*"))


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_extra_is_named(
    package: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    for missing in {"onnx", "onnxscript", "onnxruntime"} - {package}:
        monkeypatch.setitem(sys.modules, missing, builtins)  # whatever is there in truth
    told = refuse(capsys, tmp_path, "export", run, tmp_path / "model")
    assert f"--format onnx needs the package {package}: pip install 'crossmatch[export]'." in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


@pytest.mark.parametrize("file", ["model.json", "model.pt2", "README.md"])
def test_a_full_disk_leaves_nothing(
    file: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for method in ("write_bytes", "write_text"):
        plain = getattr(Path, method)

        def write(path: Path, *given: object, plain=plain, **named: object) -> int:
            if path.name == file:
                plain(path, *(each[:10] for each in given), **named)
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return plain(path, *given, **named)

        monkeypatch.setattr(Path, method, write)
    told = refuse(capsys, tmp_path, "export", run, tmp_path / "model", "--format", "torch")
    assert "No space left on device" in told
    assert "Make room, or name a place on another disk" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_packed_model_is_exported_like_its_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "pack", run, tmp_path / "model.zip")[0] == 0
    for source, out in ((run, "one"), (tmp_path / "model.zip", "other")):
        assert call(capsys, "export", source, tmp_path / out, "--format", "bundle")[0] == 0
    one, other = ((tmp_path / name / "model.json").read_text() for name in ("one", "other"))
    assert one == other
