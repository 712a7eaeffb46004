"""What users copy from runs: the scripts of `examples/`, and the examples in docstrings."""

import doctest
import importlib
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import crossmatch
from crossmatch.methods import METHODS
from crossmatch.networks import NETWORKS

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SCRIPTS = {"train_and_predict", "new_method", "new_network", "reading_a_run", "isic_challenge"}
MODULES = [
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "src").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of train_and_predict.py, after two steps."""
    folder = tmp_path_factory.mktemp("example") / "out"
    with pytest.MonkeyPatch.context() as patch:
        run(patch, "train_and_predict", folder, 2)
    return folder


@pytest.fixture(autouse=True)
def _registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an example registers is gone after the test."""
    for registry in (METHODS, NETWORKS):
        for name in ("entropy", "two_levels"):
            monkeypatch.setitem(registry, name, None)
            monkeypatch.delitem(registry, name)


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: object) -> None:
    """Run a script as `python examples/NAME.py ARGUMENTS` would, in this process."""
    monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


def test_every_script_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == SCRIPTS


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_says_how_it_is_called(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, code in ((["--help"], 0), ([], 2)):
        with pytest.raises(SystemExit) as ended:
            run(monkeypatch, name, *arguments)
        told = capsys.readouterr()
        assert ended.value.code == code
        assert "usage: " + name in told.out + told.err
        assert ("python examples/" in told.out) == (code == 0)


def test_train_and_predict(out: Path) -> None:
    assert len(list((out / "run" / "test").glob("*.nii.gz"))) == 4
    assert (out / "run" / "test" / "summary.json").is_file()
    assert "</html>" in (out / "run" / "report.html").read_text()


def test_reading_a_run(out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "reading_a_run", out / "run")
    text = capsys.readouterr().out
    assert "crossmatch, 2 steps, seed 1" in text
    assert "train, total: " in text
    assert "validation, mean: " in text
    assert "LV: Dice " in text
    assert (out / "run" / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("name", "method", "network"), [("new_method", "entropy", "unet"), ("new_network", "crossmatch", "two_levels")]
)
def test_something_new_is_trained_without_a_change_to_the_package(
    name: str, method: str, network: str, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, name, out / "data", tmp_path / "run", 2)
    model = crossmatch.load(tmp_path / "run")
    assert (model.recipe.method.name, model.recipe.network.name) == (method, network)
    assert isinstance(model.network, NETWORKS[network])


def test_a_run_of_an_unknown_method_says_so(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        run(patch, "new_method", out / "data", tmp_path / "run", 1)
    del METHODS["entropy"]
    with pytest.raises(crossmatch.UserError, match=r"no method 'entropy'; there are .*METHODS first"):
        crossmatch.load(tmp_path / "run")


def test_isic_challenge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As 0 and 255; `scoring/test_isic_scorer.py` gives them to the challenge's scorer."""
    (tmp_path / "masks").mkdir()
    mask = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
    Image.fromarray(mask).save(tmp_path / "masks" / "ISIC_0012169.png")
    run(monkeypatch, "isic_challenge", tmp_path / "masks", tmp_path / "out")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "ISIC_0012169_segmentation.png")), 255 * mask)


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0
    assert found.attempted > 0
