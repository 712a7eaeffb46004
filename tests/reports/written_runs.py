"""Runs on disk that were never trained, with what a training logs, for tests of reports."""

import json
from pathlib import Path

from crossmatch import formats
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.checkpoint import Checkpoint, save_checkpoint

TERMS = ("sup", "ip1", "ip2", "tkd_ww", "tkd_ws", "tkd_sw", "tkd_ss", "dkd_w", "dkd_s", "tkd", "dkd", "total")
STEPS = 60


def write_run(folder: Path, data: Path, lines: list[dict] | None, *changes: str, step: int = STEPS) -> Path:
    """A run of CrossMatch on a tiny dataset of two classes, `step` steps of 60 done; `changes` to its recipe."""
    folder.mkdir()
    recipe = load_recipe("phantom", [f"train.steps={STEPS}", "train.log_every=5", "seed=7", *changes])
    record = {
        "recipe": {**recipe.model_dump(mode="json"), "departures": ["Blurs with a true <Gaussian>."]},
        "data": {
            "root": str(data),
            "name": "tiny",
            "fingerprint": "f00d" * 16,
            "labels": {"background": 0, "RV": 1, "MYO": 2},
            "channels": ["C0"],
            "slice_axis": 2,
            "labelled": ["case_001", "case_002"],
            "unlabelled": 1,
            "validation": ["case_004"],
        },
        "code": {"crossmatch": "0.1.0", "commit": "abc123"},
        "versions": {"python": "3.11.7", "torch": "2.8.0"},
        "device": {"type": "cpu", "name": "x86_64 CPU", "count": 1, "precision": "float32", "flags": []},
    }
    (folder / "run.json").write_text(json.dumps(record))
    if lines is not None:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        facts = {"step": step, "best": 0.8, "seconds": 125.0, "method": "crossmatch"}
        save_checkpoint(folder / "checkpoints" / "last.safetensors", Checkpoint(facts, {}, {}))
    return folder


def log(until: int = STEPS) -> list[dict]:
    """What it logs: every term each five steps, a validation each twenty."""
    lines = []
    for step in range(5, until + 1, 5):
        train = {name: 1 / (step + n) for n, name in enumerate(TERMS)} | {"confident": 0.5, "learning_rate": 0.01}
        lines.append({"step": step, "train": train})
        if step % 20 == 0:
            mean = {20: 0.5, 40: 0.8, 60: 0.7}[step]
            lines.append({"step": step, "validation": {"mean": mean, "RV": None if step == 20 else mean, "MYO": mean}})
    return lines


def write_predictions(data: Path, folder: Path, lost: tuple[int, ...] = (0, 1, 2, 4), split: str = "Ts") -> None:
    """Masks like the labels without their last slices: of the first none is empty, then one, two and all four."""
    for missing, path in zip(lost, sorted((data / f"labels{split}").iterdir()), strict=False):
        like = formats.read(path)
        voxels = like.voxels.copy()
        voxels[:, :, 4 - missing :] = 0
        formats.write(folder / path.name, voxels, like)
