"""A run as one file: what it predicts, what it leaves out, and that nothing else is taken for one."""

import io
import json
import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import crossmatch
from command import call
from crossmatch.atomic import read_json, write_json
from crossmatch.errors import UserError
from crossmatch.inference.predict import Options, predict
from crossmatch.inference.quality_record import read_quality
from crossmatch.runs.pack import pack
from crossmatch.runs.record import RunRecord
from crossmatch.runs.run import CALIBRATIONS, open_run
from crossmatch.runs.zipped import FACTS, WEIGHTS
from tiny import write_dataset
from untrained import save_untrained, untrained_run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("secret_hospital") / "jane_doe")


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    made = untrained_run(data.parent / "runs" / "of_jane", data)
    save_untrained(made, "best", 5)
    write_json(made.folder / "run.json", {**made.record, "begun_from": str(data.parent / "runs" / "before")})
    return made.folder


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(run, tmp_path_factory.mktemp("packed") / "model.zip")


@pytest.mark.parametrize("checkpoint", ["last", "best"])
def test_it_predicts_what_the_run_predicts(run: Path, data: Path, tmp_path: Path, checkpoint: str) -> None:
    scan = crossmatch.formats.read(next((data / "imagesTs").iterdir()))
    made = pack(run, tmp_path / "model.zip", checkpoint)
    ours, packed = crossmatch.load(run, checkpoint, device="cpu"), crossmatch.load(made, device="cpu")
    one, other = (each.predict(scan.voxels, affine=scan.affine, probabilities=True) for each in (ours, packed))
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])
    assert packed.recipe.settings() == ours.recipe.settings()


def test_commands_take_it_where_they_take_a_run(
    run: Path, model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "pack", run, tmp_path / "own.zip")
    assert (code, "crossmatch predict" in out) == (0, True), err
    assert (tmp_path / "own.zip").read_bytes() == model.read_bytes()
    for source, masks in ((run, "a"), (model, "b")):
        code, _, err = call(capsys, "predict", source, data / "imagesTs", tmp_path / masks, "--device", "cpu")
        assert code == 0, err
        assert call(capsys, "evaluate", tmp_path / masks, data / "labelsTs")[0] == 0
    assert (tmp_path / "a" / "case_005.nii.gz").read_bytes() == (tmp_path / "b" / "case_005.nii.gz").read_bytes()
    record = [json.loads((tmp_path / masks / "prediction.json").read_text()) for masks in "ab"]
    assert record[0]["weights_sha256"] == record[1]["weights_sha256"]
    assert record[1]["run"] == "model.zip"
    for told, arguments in {
        "report the run it was packed from": ("report", model),
        "begin a new run with its weights": ("train", "--resume", "--out", model),
        "Name the dataset's folder": ("train", "--from", model, "--out", tmp_path / "new"),
        "holds one checkpoint": ("predict", model, data / "imagesTs", tmp_path / "c", "--checkpoint", "best"),
    }.items():
        code, _, err = call(capsys, *arguments)
        assert (code, told in " ".join(err.split())) == (2, True), err


def test_equal_runs_make_equal_bytes_wherever_and_whenever(run: Path, model: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "elsewhere")  # the module's model was packed some seconds before
    assert pack(tmp_path / "elsewhere", tmp_path / "model.zip").read_bytes() == model.read_bytes()
    with zipfile.ZipFile(model) as file:
        assert {entry.date_time[0] for entry in file.infolist()} == {1980}


def test_it_says_nothing_of_people_places_and_cases(run: Path, model: Path) -> None:
    content = model.read_bytes()
    before = read_json(run / "run.json", RunRecord, "")
    assert before["data"]["unlabelled_cases"]
    told = ("jane", "secret_hospital", "before", str(Path.home()), before["data"]["root"], "case_0")
    assert all(word in json.dumps(before) for word in ("jane", "secret_hospital", "before", "case_0"))
    assert not [word for word in told if word.encode() in content]
    facts = open_run(model).data
    assert not {"unlabelled_cases", "labelled_before", "contents", "contents_before"} & facts.keys()
    assert len(facts["labelled"]) == len(before["data"]["labelled"])
    assert len(facts["validation"]) == len(before["data"]["validation"])


def test_the_folder_of_a_teacher_is_left_out(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    record = read_json(tmp_path / "run" / "run.json", RunRecord, "")
    taught = {"name": "distillation", "teacher": "/home/jane/runs/supervised"}
    write_json(tmp_path / "run" / "run.json", {**record, "recipe": {**record["recipe"], "method": taught}})
    made = pack(tmp_path / "run", tmp_path / "model.zip")
    assert b"jane" not in made.read_bytes()
    assert open_run(made).recipe.method.name == "distillation"


def test_an_unfinished_run_stays_known_as_one(run: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    record = read_json(tmp_path / "run" / "run.json", RunRecord, "")
    train = {**record["recipe"]["train"], "steps": 10}
    write_json(tmp_path / "run" / "run.json", {**record, "recipe": {**record["recipe"], "train": train}})
    loaded = crossmatch.load(pack(tmp_path / "run", tmp_path / "model.zip"), device="cpu")
    with pytest.warns(UserWarning, match="was unfinished, with 7 steps left"):
        loaded.predict_files(data / "imagesTs", tmp_path / "masks", progress=False)


def test_a_calibration_of_quality_goes_with_it_without_names(run: Path, data: Path, tmp_path: Path) -> None:
    """`predict --quality` of a packed model estimates what it estimates of the run."""
    fitted = Path(shutil.copytree(run, tmp_path / "run"))
    assert (fitted / CALIBRATIONS).is_dir() is False
    options = Options(device="cpu", quality=True)
    predict(fitted, data / "imagesTs", tmp_path / "ours", options)
    model = pack(fitted, tmp_path / "model.zip")
    predict(model, data / "imagesTs", tmp_path / "theirs", options)
    ours, theirs = read_quality(tmp_path / "ours"), read_quality(tmp_path / "theirs")
    assert ours.calibration["told"] == theirs.calibration["told"]
    assert {name: case["dice"] for name, case in ours.cases.items()} == {
        name: case["dice"] for name, case in theirs.cases.items()
    }
    kept = json.loads(next((fitted / CALIBRATIONS).glob("*.json")).read_text())
    for name in (*kept["cases"], *kept["references"]):
        assert f'"{name}"'.encode() not in model.read_bytes()
    predict(pack(run, tmp_path / "bare.zip"), data / "imagesTs", tmp_path / "bare", options)
    assert (
        "`crossmatch predict RUN SCANS MASKS --quality` fits it" in read_quality(tmp_path / "bare").calibration["told"]
    )


def test_other_files_are_not_overwritten(run: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.zip").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.zip cannot be read"):
        pack(run, tmp_path / "notes.zip")
    with pytest.raises(UserError, match=r"let it end in \.zip"):
        pack(run, tmp_path / "model")
    with pytest.raises(UserError, match="packed already"):
        pack(model, tmp_path / "again.zip")
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(UserError, match=r"folder\.zip is a folder: name a file"):
        pack(run, tmp_path / "folder.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.zip", "notes.zip"]


Entries = list[tuple[zipfile.ZipInfo | str, bytes, int]]
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


def rebuilt(model: Path, target: Path, change: Callable[[bytes, bytes], Entries]) -> Path:
    """A zip file with other entries, from the two of a model."""
    with zipfile.ZipFile(model) as file:
        entries = change(file.read(FACTS), file.read(WEIGHTS))
    with zipfile.ZipFile(target, "w") as file:
        for entry, content, how in entries:
            file.writestr(entry, content, how)
    return target


def good(facts: bytes, weights: bytes) -> Entries:
    return [(FACTS, facts, STORED), (WEIGHTS, weights, STORED)]


def unmarked(facts: bytes) -> bytes:
    return json.dumps({key: value for key, value in json.loads(facts).items() if key != "packed"}).encode()


HOSTILE: dict[str, tuple[Callable[[bytes, bytes], Entries], str]] = {
    "a path upwards": (lambda f, w: [*good(f, w), ("../evil", b"x", STORED)], r"it holds '\.\./evil'"),
    "an absolute path": (lambda f, w: [*good(f, w), ("/tmp/evil", b"x", STORED)], "it holds '/tmp/evil'"),
    "a path of Windows": (lambda f, w: [*good(f, w), ("..\\evil", b"x", STORED)], "it holds"),
    "a folder": (lambda f, w: [*good(f, w), ("run.json/", b"", STORED)], "it holds 'run.json/'"),
    "one more file": (lambda f, w: [*good(f, w), ("setup.py", b"x", STORED)], "it holds 'setup.py'"),
    "a link": (lambda f, w: [(link(FACTS), b"/etc/passwd", STORED), (WEIGHTS, w, STORED)], "is a link"),
    "a bomb": (lambda f, w: [(FACTS, f, STORED), (WEIGHTS, bytes(10**7), DEFLATED)], "is compressed or encrypted"),
    "no weights": (lambda f, w: [(FACTS, f, STORED)], "it has no last.safetensors"),
    "no facts": (lambda f, w: [(WEIGHTS, w, STORED)], "it has no run.json"),
    "other facts": (lambda f, w: good(b"{}", w), "run.json in .* is damaged"),
    "facts that nest deeply": (lambda f, w: good(b'{"a":' * 10**5, w), "run.json in .* is damaged"),
    "facts of a run": (lambda f, w: good(unmarked(f), w), "not that of a packed model"),
    "weights cut off": (lambda f, w: good(f, w[:-10]), "header of the weights .* cannot be read"),
    "a huge header": (lambda f, w: good(f, (2**62).to_bytes(8, "little") + w[8:]), "cannot be read"),
    "weights of another network": (lambda f, w: good(f.replace(b'"width": 4', b'"width": 8'), w), "another network"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_packed_model_is_refused_and_nothing_is_written(case: str, model: Path, tmp_path: Path) -> None:
    change, told = HOSTILE[case]
    (tmp_path / "folder").mkdir()
    made = rebuilt(model, tmp_path / "folder" / "hostile.zip", change)
    with pytest.raises(UserError, match=told):
        crossmatch.load(made, device="cpu")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "hostile.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_refused(model: Path, tmp_path: Path) -> None:
    made = rebuilt(model, tmp_path / "twice.zip", lambda f, w: [*good(f, w), (FACTS, b"{}", STORED)])
    with pytest.raises(UserError, match=r"it holds 'run\.json' twice"):
        open_run(made)


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path, bytes], int], tuple[Path, bytes]]:
        return Path.write_bytes, (self.path, b"run")


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_nothing_is_unpickled(model: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    for content in (pickle.dumps(Planted(planted)), saved(Planted(planted))):
        made = rebuilt(model, tmp_path / "hostile.zip", lambda f, w, content=content: good(f, content))
        with pytest.raises(UserError, match="cannot be read"):
            crossmatch.load(made, device="cpu")
        assert not planted.exists()
    pickle.loads(pickle.dumps(Planted(planted)))
    assert planted.exists()  # so it would have been


@pytest.mark.parametrize("keep", [3, 100, 5000, -1])
def test_a_file_that_is_cut_off_is_damaged(model: Path, tmp_path: Path, keep: int) -> None:
    (tmp_path / "cut.zip").write_bytes(model.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"cut\.zip cannot be read"):
        open_run(tmp_path / "cut.zip")


def test_a_changed_byte_is_found(model: Path, tmp_path: Path) -> None:
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "bent.zip").write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"cannot be read .*damaged"):
        crossmatch.load(tmp_path / "bent.zip", device="cpu")


def test_a_torch_file_is_no_run(tmp_path: Path) -> None:
    for name, told in (("model.pt", "is no run"), ("model.zip", "it holds 'model/data.pkl'")):
        torch.save({"a": 1}, tmp_path / name)
        with pytest.raises(UserError, match=told):
            open_run(tmp_path / name)
