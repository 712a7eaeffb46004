"""Commands that the campaign disturbs, each on tiny data, and what must be the same however often it was disturbed."""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
from safetensors import safe_open

import processes
from folder_files import pairs
from la_files import FIRST, SECOND, TEST, write_challenge
from page_user import use_the_page
from tiny import write_dataset, write_nifti
from train_tiny import TINY

SETTINGS = [word for change in TINY for word in ("--set", change)]
OF_CELLS = [word for change in TINY if not change.startswith("data.labelled") for word in ("--set", change)]
ANOTHER_TIME = {
    "seconds",
    "training_seconds",
    "peak_memory",
    "commit",
    "ctime_ns",
    "sha256",  # of a scan whose mask a killed call made: known by size and times alone
    "peak_memory_bytes",
    "mtime_ns",
    "size",
}  # keys that may differ between calls
ONE_TIME = ("when", "who")  # of a decision
NOT_COMPARED = ("tensorboard", "slurm")  # folders
_DRAWN = (".log", ".png", ".svg", ".md", ".csv")  # of a benchmark: they show seconds


@dataclass(frozen=True)
class Inputs:
    """What commands read; no command writes into it."""

    data: Path
    scans: Path  # the challenge's form of LA
    run: Path
    masks: Path
    folder: Path  # scans and masks as people have them
    page: Path  # run, data, predictions and a new scan of a review, which writes into them: each scene copies it


@dataclass(frozen=True)
class Scene:
    """A command that writes into a folder of its own."""

    name: str
    words: Callable[[Inputs, Path], list[object]]  # (inputs, the folder) -> the command line to begin or to go on with
    at_once: bool = False  # the folder appears whole, and a further call is refused
    asked: bool = False  # a program that works until it is told to end, and ends well when it is interrupted
    before: Callable[[], None] | None = None  # called in the new process before the command

    def begin(self, inputs: Inputs, folder: Path, spoil: Callable[[], None] | None = None) -> processes.Command:
        """Start the command for `folder`/out; `spoil` makes trouble in its process."""
        before = partial(_each, [step for step in (self.before, spoil) if step is not None])
        return processes.Command(self.words(inputs, folder / "out"), folder, before)


def _each(steps: list[Callable[[], None]]) -> None:
    for step in steps:
        step()


def make_inputs(folder: Path) -> Inputs:
    """Make everything that the scenes read."""
    folder.mkdir(parents=True, exist_ok=True)
    data = write_dataset(folder / "data", n_train=3, n_test=5)
    scans = folder / "scans"
    for seed, name in enumerate((FIRST, SECOND, TEST)):
        write_challenge(scans / name, seed)
    inputs = Inputs(data, scans, folder / "run", folder / "masks", pairs(folder / "folder"), folder / "page")
    for scene, out in ((SCENES["train"], inputs.run), (SCENES["predict"], inputs.masks)):
        done = processes.run(scene.words(inputs, out), folder)
        if done.code != 0:
            raise RuntimeError(f"{scene.name} does not work undisturbed: {done.said}")
    _make_page(inputs)
    return inputs


def _make_page(inputs: Inputs) -> None:
    data, run = inputs.page / "data", inputs.page / "run"
    shutil.copytree(inputs.data, data)
    shutil.copytree(inputs.run, run)
    for name in ("case_002", "case_003"):
        (data / "labelsTr" / f"{name}.nii.gz").unlink()
    fresh = np.random.default_rng(9).integers(0, 250, (16, 14, 4)).astype(np.int16)
    write_nifti(inputs.page / "new" / "fresh_0000.nii.gz", fresh)
    done = processes.run(["predict", run, data / "imagesTr", run / "unlabelled"], inputs.page.parent)
    if done.code != 0:
        raise RuntimeError(f"predictions of the page cannot be made: {done.said}")


def _train(inputs: Inputs, out: Path) -> list[object]:
    resume = ["--resume"] if (out / "run.json").exists() else []
    return ["train", "phantom", "--data", inputs.data, "--out", out, *SETTINGS, *resume]


def _benchmark(inputs: Inputs, out: Path) -> list[object]:
    cells = ["--methods", "supervised", "--labelled", "1,2", "--seeds", "0"]
    return ["benchmark", "phantom", "--data", inputs.data, "--out", out, *cells, *OF_CELLS]


def _check(inputs: Inputs, out: Path) -> list[object]:
    return ["check", inputs.data]  # the fingerprint goes to the cache, which `processes` puts beside the log


def _review(inputs: Inputs, out: Path) -> list[object]:
    if not out.exists():
        shutil.copytree(inputs.page, out)
    return ["review", out / "run", "--data", out / "data", "--scans", out / "new"]


SCENES = {
    scene.name: scene
    for scene in (
        Scene("train", _train),
        Scene("predict", lambda inputs, out: ["predict", inputs.run, inputs.data / "imagesTs", out]),
        Scene("evaluate", lambda inputs, out: ["evaluate", inputs.masks, inputs.data / "labelsTs", "--out", out]),
        Scene("check", _check),
        Scene("import", lambda inputs, out: ["import", "la", inputs.scans, out], at_once=True),
        Scene("phantom", lambda inputs, out: ["phantom", out, "--train", 2, "--val", 1, "--test", 1], at_once=True),
        Scene("benchmark", _benchmark),
        Scene("report", lambda inputs, out: ["report", inputs.run, "--out", out / "report.html"]),
        Scene("import folder", lambda inputs, out: ["import", "folder", inputs.folder, out], at_once=True),
        Scene("review", _review, asked=True, before=use_the_page),
        Scene("export", lambda inputs, out: ["export", inputs.run, out, "--format", "bundle"], at_once=True),
    )
}


def contents(folder: Path) -> dict[str, str]:
    """File -> digest of what it means: voxels, tensors, values; times and memory of the computer are left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_meaning(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name[0] != "." and not set(path.relative_to(folder).parts[:-1]) & set(NOT_COMPARED)
    }


def leftovers(folder: Path) -> list[str]:
    """Hidden files and folders that a finished command has left, or beside its folder."""
    found = [path for path in folder.parent.rglob(".*") if path.name != ".lock"]
    return [str(path.relative_to(folder.parent)) for path in sorted(found)]


def torn_or_doubled(metrics: Path) -> list[str]:
    """What is wrong with a log of scalars: lines that are no JSON, steps that come twice or fall."""
    wrong, last = [], {}
    text = metrics.read_text() if metrics.is_file() else ""
    if text and not text.endswith("\n"):
        wrong.append("the last line is torn")
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            found = json.loads(line)
        except ValueError:
            wrong.append(f"line {number} is torn")
            continue
        for group in found.keys() - {"step"}:
            if found["step"] <= last.get(group, 0):
                wrong.append(f"line {number} comes after step {last[group]} of {group}")
            last[group] = found["step"]
    return wrong


def _meaning(path: Path) -> bytes:
    if path.name.endswith((".nii.gz", ".nii")):
        image = nib.load(path)
        return np.asarray(image.dataobj).tobytes() + image.affine.tobytes() + str(image.shape).encode()
    if path.suffix == ".safetensors":
        with safe_open(path, framework="np") as file:
            facts = _plain(json.loads(file.metadata()["crossmatch"]))
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        parts = [
            f"{name} {tensor.dtype} {tensor.shape}".encode() + tensor.tobytes() for name, tensor in tensors.items()
        ]
        return facts + b"".join(parts)
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return b"".join(np.asarray(file[key]).tobytes() for key in sorted(file))
    if path.suffix == ".json":
        return _plain(json.loads(path.read_text()))
    if (path.suffix in _DRAWN and (path.parent / "results.json").exists()) or path.suffix == ".log":
        return b"shown"
    if path.suffix == ".ts":  # its other parts name Python's classes by a number, and the time
        with zipfile.ZipFile(path) as program:
            names = sorted(name for name in program.namelist() if "/data/" in name)
            return b"".join(program.read(name) for name in names)
    if path.name == "decisions.jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return _plain(
            {line["id"].replace("new:", "unlabelled:"): [line["state"], line.get("corrected_voxels")] for line in lines}
        )
    if path.suffix == ".html":  # the page tells how long the training took and what it needed
        return re.sub(rb"[0-9.]+(?: |\xc2\xa0)(s|MB|GB|min|h)\b", b"", path.read_bytes())
    return path.read_bytes()


def _plain(value: object) -> bytes:
    def without(part: object) -> object:
        if isinstance(part, dict):
            return {key: without(item) for key, item in part.items() if key not in (*ANOTHER_TIME, *ONE_TIME)}
        return [without(item) for item in part] if isinstance(part, list) else part

    return json.dumps(without(value), sort_keys=True).encode()
