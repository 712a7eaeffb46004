"""The public API: a light import, each function beside its command, arrays that give what files give."""

import ast
import html
import importlib
import json
import pkgutil
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from rich.console import Console

import crossmatch
from command import call
from crossmatch.recipes import load_recipe
from crossmatch.recipes.load import parse_change
from crossmatch.runs.display import TrainingDisplay
from tiny import AFFINE, write_dataset, write_nifti
from train_tiny import TINY, Quiet, weights
from untrained import untrained_run

SETTINGS: dict[str, object] = {"__".join(keys): value for keys, value in map(parse_change, TINY)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, n_test=2)


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> crossmatch.Model:
    """A network of two levels for slices of one channel, with fresh weights."""
    return crossmatch.load(untrained_run(tmp_path_factory.mktemp("runs") / "run", data).folder)


def noise(*shape: int, kind: str = "int16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(kind)


# --- the names


def test_importing_it_loads_nothing_else() -> None:
    script = """
import sys
import crossmatch
crossmatch.__version__, dir(crossmatch)
print(*(name for name in sys.modules if name.startswith("crossmatch.")))
print(*{"torch", "numpy", "pydantic", "nibabel", "rich"} & sys.modules.keys())
crossmatch.metrics.dice
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", "", "False"]


def test_every_name_is_there_and_means_one_thing() -> None:
    assert set(crossmatch.__all__) <= set(dir(crossmatch))
    rooms = {found.name for found in pkgutil.iter_modules(crossmatch.__path__)}
    for name in crossmatch.__all__:
        found = getattr(crossmatch, name)
        if name in rooms:
            assert found is importlib.import_module(f"crossmatch.{name}")
        else:
            assert not isinstance(found, types.ModuleType) or name == "metrics"
    assert crossmatch.metrics is importlib.import_module("crossmatch.scoring.metrics")


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(crossmatch.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == sorted(crossmatch.__all__)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'predict'; it has .*Model.*train"):
        crossmatch.predict  # type: ignore[attr-defined]  # noqa: B018


# --- training


def test_train_does_what_the_command_does(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = crossmatch.train("phantom", data, tmp_path / "python", seed=3, progress=False, **SETTINGS)
    sets = [word for text in TINY for word in ("--set", text)]
    code, _, err = call(capsys, "train", "phantom", "--data", data, "--out", tmp_path / "command", "--seed", 3, *sets)
    assert code == 0, err
    python, command = weights(tmp_path / "python"), weights(tmp_path / "command")
    assert all(torch.equal(python[key], command[key]) for key in command)
    assert model.recipe == load_recipe("phantom", [*TINY, "seed=3"])
    assert model.run.folder == tmp_path / "python"
    assert not model.network.training
    assert model.labels == {"background": 0, "RV": 1, "MYO": 2}
    assert str(tmp_path / "python") in repr(model)


def test_a_recipe_may_be_a_name_a_file_or_an_object(tmp_path: Path, data: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(crossmatch.recipes.recipe_text("phantom"))
    recipe = load_recipe("phantom", ["method.name=supervised"])
    for number, given in enumerate((file, recipe)):
        changes = {**SETTINGS, "method__name": "supervised", "train__steps": 1}
        with pytest.warns(UserWarning, match=r"train\.batch\.unlabelled has no effect: supervised learns"):
            model = crossmatch.train(given, data, str(tmp_path / str(number)), progress=False, **changes)
        assert model.recipe.model_copy(update={"about": ""}) == load_recipe(
            "phantom", [*TINY, "method.name=supervised", "train.steps=1", "about="]
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__step": 5}, r"unknown key train\.step; did you mean train\.steps\? Valid keys here are steps"),
        ({"epochs": 5}, r"unknown key epochs; valid keys here are .*train"),
        ({"train__steps": "many"}, r"train\.steps: .*found 'many'"),
        ({"method__name": "magic"}, "no method 'magic'; there are supervised"),
        ({"track": "wandb"}, "track is 'mlflow' or left out, not 'wandb'"),
        ({"track": False}, "track is 'mlflow' or left out, not False"),
    ],
)
def test_a_change_that_does_not_fit(data: Path, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(crossmatch.UserError, match=message):
        crossmatch.train("phantom", data, tmp_path / "run", progress=False, **changes)
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_needs_its_folder_alone_and_lends_its_weights(data: Path, tmp_path: Path) -> None:
    """As --resume, --resume --steps and --from do: recipe and data stand in the run."""
    run = tmp_path / "run"
    crossmatch.train("phantom", data, run, steps=4, progress=False, **SETTINGS | {"train__steps": 7})
    with pytest.warns(UserWarning, match="the run continues as one of 6 steps"):
        model = crossmatch.train(out=run, resume=True, steps=6, progress=False)
    assert [model.run.recipe.train.steps, model.run.record["extended"][0]["before"]] == [6, 4]
    again = crossmatch.train(out=run, resume=True, progress=False)
    assert again.run.recipe.train.steps == 6
    other = crossmatch.train(out=tmp_path / "other", begin_from=run, steps=1, progress=False, train__learning_rate=1e-9)
    assert other.run.record["begun_from"] == str(run)
    for trained, masks in ((model, "masks"), (other, "other_masks")):  # no recipe says how these weights came about
        trained.predict_files(data / "imagesTs", tmp_path / masks, progress=False)
    made, others = (json.loads((tmp_path / name / "prediction.json").read_text()) for name in ("masks", "other_masks"))
    assert [made["extended"][0]["before"], others["begun_from"], "begun_from" in made] == [4, "run", False]
    begun, before = (one.network.state_dict() for one in (other, model))
    kept = [name for name, value in begun.items() if value.is_floating_point() and "running" not in name]
    assert all(torch.allclose(begun[name], before[name], atol=1e-6) for name in kept)
    for message, wrong in (
        ("Name the run's folder with out", {"recipe": "phantom", "data": data}),
        ("Name a recipe: auto", {"data": data, "out": tmp_path / "new"}),
        ("Name the dataset's folder", {"recipe": "phantom", "out": tmp_path / "new"}),
        ("give one of the two", {"out": run, "resume": True, "begin_from": run}),
        ("--steps must be more", {"out": run, "resume": True, "steps": 2}),
    ):
        with pytest.raises(crossmatch.UserError, match=message):
            crossmatch.train(**wrong, progress=False)


def test_ctrl_c_keeps_what_was_learned_and_resume_goes_on(data: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match=r"step 4 of 10; go on with resume=True"):
        crossmatch.train("phantom", data, tmp_path / "parts", progress=Quiet(interrupt_at=4), **SETTINGS)
    crossmatch.train("phantom", data, tmp_path / "parts", resume=True, progress=False, **SETTINGS)
    crossmatch.train("phantom", data, tmp_path / "whole", progress=False, **SETTINGS)
    parts, whole = weights(tmp_path / "parts"), weights(tmp_path / "whole")
    assert all(torch.equal(parts[key], whole[key]) for key in whole)


# --- what is shown


def test_progress_is_shown_silenced_or_handed_over(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Steps(Quiet):
        def __init__(self) -> None:
            super().__init__()
            self.steps: list[int] = []

        def step(self, step: int, steps: int, values: dict[str, float]) -> None:
            self.steps.append(step)

    mine, counted = Steps(), []
    changes = {**SETTINGS, "train__steps": 3}
    crossmatch.train("phantom", data, tmp_path / "mine", progress=mine, **changes)
    crossmatch.check(data, progress=lambda done, total: counted.append((done, total)))
    crossmatch.train("phantom", data, tmp_path / "silent", progress=False, **changes)
    crossmatch.check(data, progress=False)
    crossmatch.check(data, progress=None)
    crossmatch.train("phantom", data, tmp_path / "none", progress=None, **changes)
    assert mine.steps == [1, 2, 3]
    assert counted == [(n, 6) for n in range(1, 7)]
    assert capsys.readouterr() == ("", "")
    crossmatch.train("phantom", data, tmp_path / "shown", **changes)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 1
    assert shown[0].startswith("crossmatch: step 3/3")


def test_silence_still_warns(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    image = (data / "imagesTr/case_001_0000.nii.gz").read_bytes()
    (data / "imagesTr/case_002_0000.nii.gz").write_bytes(image)
    with pytest.warns(UserWarning, match=r"case_001 and case_002 .* are the same image"):
        crossmatch.train("phantom", data, tmp_path / "run", progress=False, **{**SETTINGS, "train__steps": 1})


@contextmanager
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """IPython and ipywidgets as far as rich uses them; gives what a notebook would display."""
    displayed: list[object] = []

    class Output:
        def __enter__(self) -> "Output":
            return self

        def __exit__(self, *_: object) -> None: ...

        def clear_output(self, wait: bool = False) -> None: ...

    for name, content in (("IPython", {}), ("IPython.display", {"display": displayed.append}), ("ipywidgets", {})):
        module = types.ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["ipywidgets"].Output = Output  # type: ignore[attr-defined]
    yield displayed


def drawn(displayed: list[object]) -> str:
    """The text of all that a notebook shows."""
    return "\n".join(html.unescape(re.sub("<[^>]*>", "", getattr(item, "html", ""))) for item in displayed)


def test_a_bar_appears_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    with notebook(monkeypatch) as displayed:
        console = Console(force_jupyter=True)
        with TrainingDisplay(console, "mine") as display:
            display.step(1, 2, {"total": 0.5})
            display.step(2, 2, {"total": 0.25})
    assert re.search(r"mine .* 2/2 .*loss 0\.250", drawn(displayed))
    assert "step 2/2" not in drawn(displayed)  # which is the line of a log


def test_a_notebook_without_widgets_has_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    with notebook(monkeypatch) as displayed:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with TrainingDisplay(Console(force_jupyter=True), "mine") as display:
            display.step(1, 2, {})
            display.step(2, 2, {})
    assert len(displayed) == 1
    assert "mine: step 2/2" in drawn(displayed)


# --- prediction


@pytest.mark.parametrize(
    ("shape", "channels", "changes"),
    [
        ((21, 19, 4), 1, []),
        ((21, 19), 1, []),
        ((21, 19, 4), 2, ["predict.resize=labels"]),
        ((21, 19, 4), 2, ["data.sampling=patch", "data.spacing_mm=[2, 1.3]"]),
        ((21, 19, 18), 1, ["data.sampling=patch", "data.size=[16, 16, 16]"]),
        ((21, 19, 18), 2, ["data.sampling=patch", "data.size=[16, 16, 16]", "data.spacing_mm=[2, 2, 4]"]),
    ],
)
@pytest.mark.parametrize("kind", ["int16", "float32"])
def test_an_array_gives_what_its_file_gives(
    tmp_path: Path, shape: tuple[int, ...], channels: int, changes: list[str], kind: str
) -> None:
    data = write_dataset(tmp_path / "data", channels=channels, shape=shape)
    model = crossmatch.load(untrained_run(tmp_path / "run", data, *changes).folder)
    image = np.stack([noise(*shape, kind=kind) + k * 3 for k in range(channels)]).astype(kind)
    image[:, 3] *= 2
    for k in range(channels):
        write_nifti(tmp_path / "scans" / f"a_{k:04d}.nii.gz", image[k])
    (mask,) = model.predict_files(tmp_path / "scans", tmp_path / "masks", probabilities=True, progress=False)
    expected = np.asarray(nib.load(mask).dataobj)
    maps = np.asarray(nib.load(mask.parent / "probabilities" / mask.name).dataobj)
    given = image if channels > 1 else image[0]
    labels, probabilities = model.predict(given, affine=AFFINE, probabilities=True)
    assert labels.dtype == np.uint8
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(np.moveaxis(probabilities, 0, -1), maps)
    np.testing.assert_array_equal(model.predict(given, spacing_mm=(1.5, 1.5, 8.0)[: len(shape)]), expected)


def test_flips_strides_and_batches_are_those_of_files(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", shape=(21, 19, 18))
    changes = ["data.sampling=patch", "data.size=[16, 16, 16]"]
    model = crossmatch.load(untrained_run(tmp_path / "run", data, *changes).folder)
    image = noise(21, 19, 18)
    write_nifti(tmp_path / "scans" / "a.nii.gz", image)
    plain = model.predict(image, probabilities=True)[1]
    chosen = ({"flips": True}, {"stride": (5, 5, 5)}, {"precision": "bf16"}, {"stride": "even", "batch": 1})
    for number, options in enumerate(chosen):
        out = tmp_path / str(number)
        (mask,) = model.predict_files(tmp_path / "scans", out, probabilities=True, progress=False, **options)
        maps = np.asarray(nib.load(out / "probabilities" / mask.name).dataobj)
        found = model.predict(image, probabilities=True, **options)[1]
        np.testing.assert_array_equal(np.moveaxis(found, 0, -1), maps)
        assert np.allclose(found, plain, atol=1e-5) == ("batch" in options)
    with pytest.raises(crossmatch.UserError, match="does not fit the run"):
        model.predict(image, stride=(17, 16, 16))


def test_float64_is_read_as_files_of_it_are(model: crossmatch.Model, tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(100, 30, (20, 22, 3))
    write_nifti(tmp_path / "scans" / "a.nii.gz", image)
    (mask,) = model.predict_files(tmp_path / "scans", tmp_path / "masks", progress=False)
    np.testing.assert_array_equal(model.predict(image), np.asarray(nib.load(mask).dataobj))


def test_arrays_of_other_libraries_and_lists_are_taken(model: crossmatch.Model) -> None:
    image = noise(16, 18)
    expected = model.predict(image)
    np.testing.assert_array_equal(model.predict(torch.from_numpy(image)), expected)
    np.testing.assert_array_equal(model.predict(image.tolist()), expected)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (noise(16), r"shape \(16,\).* takes \(\*S\), without channels, where \*S has 2 axes \(a slice\) or 3"),
        (noise(1, 16, 16, 4), r"shape \(1, 16, 16, 4\)"),
        (noise(1, 16, 16), "slices would be one voxel wide"),
        (noise(0, 16), r"shape \(0, 16\)"),
        (np.full((16, 16), 7), "image is constant, every voxel is 7"),
        (np.where(noise(16, 16) > 100, np.nan, 1.0), "NaN or infinite"),
        (noise(16, 16).astype("complex64"), "complex64, no grey values"),
        (np.array([["a", "b"], ["c", "d"]]), "no grey values"),
    ],
)
def test_an_array_that_is_no_scan(model: crossmatch.Model, image: np.ndarray, message: str) -> None:
    with pytest.raises(crossmatch.UserError, match=message):
        model.predict(image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": -1}, r"predict\.batch: Input should be greater than or equal to 1 \(found -1\)"),
        ({"batch": 0}, "greater than or equal to 1"),
        ({"precision": "fp16"}, "There is no precision 'fp16': write auto, bf16, float32"),
    ],
)
def test_an_option_that_does_not_fit(model: crossmatch.Model, options: dict[str, Any], message: str) -> None:
    """A batch below 1 would leave the labels as memory was, and another precision would be taken for float32."""
    with pytest.raises(crossmatch.UserError, match=message):
        model.predict(noise(16, 16), **options)
    with pytest.raises(crossmatch.UserError, match="number of scans to choose, 1 or more, not -1"):
        crossmatch.rank(model.run.folder, count=-1, progress=False)


def test_the_channels_come_first(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", channels=2)
    model = crossmatch.load(untrained_run(tmp_path / "run", data).folder)
    for shape in ((16, 16, 2), (16, 16), (3, 16, 16)):
        with pytest.raises(crossmatch.UserError, match=r"takes \(2, \*S\) with the channels C0, C1 first"):
            model.predict(noise(*shape))
    assert model.predict(noise(2, 16, 18)).shape == (16, 18)


SHEARED = np.diag([1.0, 1, 2, 1])
SHEARED[0, 2] = 1  # z leans towards x


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, r"resamples scans to 2 x 2 mm, so it needs the voxel size of this one: give spacing_mm"),
        ({"spacing_mm": (1, 1)}, "spacing_mm must be 3 positive numbers"),
        ({"spacing_mm": (1, 1, 0)}, "spacing_mm must be 3 positive numbers"),
        ({"affine": np.eye(3)}, "invertible matrix of 4 x 4"),
        ({"affine": np.diag([1, 0, 1, 1])}, "invertible matrix of 4 x 4"),
        ({"spacing_mm": "abc"}, "spacing_mm must be 3 positive numbers"),
        ({"spacing_mm": (1, 1, float("nan"))}, "spacing_mm must be 3 positive numbers"),
        ({"spacing_mm": (1, 1, 1e-3)}, "image says that voxels are 1 x 1 x 0.001 mm in size, which cannot be right"),
        ({"affine": np.diag([1, 1, 200, 1])}, "image says that voxels are 1 x 1 x 200 mm in size, which cannot be"),
        ({"affine": [["a"]]}, "invertible matrix of 4 x 4"),
        ({"affine": np.diag([1, 1e-7, 1e-7, 1])}, "invertible matrix of 4 x 4"),
        ({"affine": SHEARED}, r"right angles; of the affine given, its x and z axes are at an angle of 63\.4 degrees"),
        ({"affine": SHEARED, "spacing_mm": (1, 1, 5**0.5)}, "its x and z axes are at an angle of 63"),
        ({"affine": AFFINE, "spacing_mm": (1.5, 1.5, 4)}, r"says 1\.5 x 1\.5 x 4 mm and affine 1\.5 x 1\.5 x 8 mm"),
    ],
)
def test_a_voxel_size_that_is_missing_or_wrong(
    data: Path, tmp_path: Path, grid: dict[str, object], message: str
) -> None:
    changes = ["data.sampling=patch", "data.spacing_mm=[2, 2]"]
    model = crossmatch.load(untrained_run(tmp_path / "run", data, *changes).folder)
    with pytest.raises(crossmatch.UserError, match=message):
        model.predict(noise(16, 16, 3), **grid)


def test_a_sheared_scan_is_segmented_where_its_voxel_size_does_not_matter(model: crossmatch.Model) -> None:
    """As the file of such a scan would be."""
    image = noise(16, 16, 3)
    straight = np.diag([1.5, 1.5, 8, 1])
    sheared = straight.copy()
    sheared[0, 2] = 4  # z leans towards x
    assert np.array_equal(model.predict(image, affine=sheared), model.predict(image, affine=straight))


def test_a_scan_with_other_axes_gets_labels_with_its_own(model: crossmatch.Model) -> None:
    """With an affine; without one the axes are taken to be those of the training."""
    image = noise(16, 18, 3)
    straight, maps = model.predict(image, affine=AFFINE, probabilities=True)
    turned, turned_maps = model.predict(np.swapaxes(image, 0, 1), affine=AFFINE[:, [1, 0, 2, 3]], probabilities=True)
    assert straight.any()
    assert np.array_equal(turned, np.swapaxes(straight, 0, 1))
    assert np.array_equal(turned_maps, np.swapaxes(maps, 1, 2))
    assert np.array_equal(model.predict(image), straight)
    assert not np.array_equal(model.predict(np.swapaxes(image, 0, 1)), turned)
    torch.from_numpy(model.predict(image[::-1], affine=AFFINE @ np.diag([-1.0, 1, 1, 1])))  # takes no negative steps


def test_a_model_comes_from_a_run_alone(data: Path, tmp_path: Path) -> None:
    with pytest.raises(crossmatch.UserError, match=r"is no run: it has no run\.json"):
        crossmatch.load(tmp_path)
    with pytest.raises(crossmatch.UserError, match="never validated"):
        crossmatch.load(untrained_run(tmp_path / "run", data).folder, "best")


# --- scores and pages


def test_scores_and_a_page(model: crossmatch.Model, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    mine = crossmatch.load(untrained_run(run, data).folder)
    mine.predict_files(data / "imagesTs", run / "test", progress=False)
    scores = crossmatch.evaluate(run / "test", data / "labelsTs", run / "test", progress=False)
    assert list(scores.labels) == ["RV", "MYO"]
    assert scores.statistics()["dice"].cases == 2
    label = np.asarray(nib.load(data / "labelsTs" / "case_005.nii.gz").dataobj)
    mask = np.asarray(nib.load(run / "test" / "case_005.nii.gz").dataobj)
    (row,) = (row for row in scores.rows if (row.case, row.name) == ("case_005", "RV"))
    assert row.scores["dice"] == crossmatch.metrics.dice(mask == 1, label == 1)
    page = crossmatch.report(run)
    assert page == run / "report.html"
    assert (
        crossmatch.report(str(run), tmp_path / "page.html", evaluation=run / "test").read_bytes() == page.read_bytes()
    )


def test_auto_plans_and_goes_on(data: Path, tmp_path: Path) -> None:
    model = crossmatch.train("auto", data, tmp_path / "run", train__steps=2, data__labelled="1", progress=False)
    assert model.recipe.about.startswith("Chosen from the data")
    again = crossmatch.train("auto", data, tmp_path / "run", resume=True, progress=False)
    assert again.recipe == model.recipe
    with pytest.raises(crossmatch.UserError, match="minutes is for the recipe 'auto'"):
        crossmatch.train("phantom", data, tmp_path / "other", minutes=3)
