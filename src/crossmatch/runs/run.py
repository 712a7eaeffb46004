"""A run's folder: settings, data and code of a training, its checkpoints and its log.

RUN/run.json                   resolved recipe, dataset facts, seed, commit, versions, device
RUN/metrics.jsonl              one line each `train.log_every` steps and each validation
RUN/tensorboard/
RUN/checkpoints/last.safetensors, best.safetensors (by validation only)
"""

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from crossmatch.atomic import HIDDEN, parse_json, read_json, write_json
from crossmatch.batches.intensity import Window
from crossmatch.errors import UserError, listed, quoted
from crossmatch.networks import NETWORKS, Segmenter
from crossmatch.networks.segmenter import to_channels_last
from crossmatch.recipes.load import parse_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.checkpoint import Checkpoint, load_checkpoint, load_facts, load_weights
from crossmatch.runs.differences import changes
from crossmatch.runs.lock import NAME as LOCK
from crossmatch.runs.machine import Machine
from crossmatch.runs.record import DataFacts, RunRecord
from crossmatch.runs.zipped import FACTS, is_packed, read_packed

FALLEN = 0.05  # of mean Dice
LEARNT = 0.2  # a network whose best Dice is lower has learnt nothing that it could lose


@dataclass(frozen=True)
class Run:
    """A run on disk. `record` is the content of run.json."""

    folder: Path
    recipe: Recipe
    record: RunRecord

    @property
    def data(self) -> DataFacts:
        """Facts of the dataset it learns from."""
        return self.record["data"]

    @property
    def frame(self) -> list[list[float]] | None:
        """The affine to whose axes all scans are turned, see `dataset/orientation.py`; None: none are turned."""
        return self.data.get("affine")

    @property
    def classes(self) -> int:
        """K, background included."""
        return len(self.data["labels"])

    @property
    def fixed_windows(self) -> tuple[Window, ...]:
        """How grey values are scaled, one window a channel, where data.normalise is "ct"; else none."""
        return tuple(Window(*numbers) for numbers in self.data.get("ct", []))

    @property
    def is_packed(self) -> bool:
        """Whether it is one file, with one checkpoint and without a log, see `pack`; else a folder."""
        return "packed" in self.record

    @property
    def metrics(self) -> Path:
        """The log of scalars."""
        return self.folder / "metrics.jsonl"

    def checkpoint(self, name: str) -> Path:
        """The file of ``last`` or ``best``; any other name is the path of a file."""
        if self.is_packed and name == "last":
            return self.folder
        return self.folder / "checkpoints" / f"{name}.safetensors" if name in ("last", "best") else Path(name)

    def fallen(self) -> str | None:
        """A warning where the validation Dice of the last checkpoint lies far below that of the best one."""
        if not all(self.checkpoint(name).is_file() for name in ("last", "best")):
            return None
        last, best = (load_facts(self.checkpoint(name)) for name in ("last", "best"))
        now, before = last.get("validation"), best.get("validation")
        if now is None or before is None or before < LEARNT or before - now < FALLEN:
            return None
        return (
            f"the validation Dice of {self.folder} was {100 * before:.1f} % at step {best['step']} and is "
            f"{100 * now:.1f} % now. `crossmatch predict --checkpoint best` takes the earlier weights"
        )

    def build_network(self) -> Segmenter:
        """The recipe's network for this dataset's channels and labels, with fresh weights, laid out for speed."""
        name, settings = self.recipe.network.name, self.recipe.network.settings
        network = NETWORKS[name](self.recipe.dims, len(self.data["channels"]), self.classes, settings)
        return to_channels_last(network)

    def load_network(self, name: str = "last") -> tuple[Segmenter, Checkpoint]:
        """The trained network in eval mode, and its checkpoint without the tensors that only training needs."""
        path = self.checkpoint(name)
        if name == "best" and self.is_packed:
            raise UserError(f"{self.folder} holds one checkpoint: leave out --checkpoint best.")
        if name == "best" and not path.is_file() and self.checkpoint("last").is_file():
            raise UserError(f"The run {self.folder} has no best checkpoint: it was never validated. Use last.")
        checkpoint = load_checkpoint(path, training=False)
        network = self.build_network()
        load_weights(network, checkpoint.network, str(path))
        return network.eval(), checkpoint


def open_run(folder: Path) -> Run:
    """An existing run: a folder, or a packed model.

    Raises:
        UserError: no folder, or not a run's; a file that is no packed model.
    """
    path = folder / "run.json"
    if is_packed(folder):
        told = f"The run.json in {folder}"
        record = parse_json(read_packed(folder, FACTS), RunRecord, told, "pack the run again")
        if "packed" not in record:
            raise UserError(f"{told} is not that of a packed model: use a file as `crossmatch pack` wrote it.")
        return Run(folder, _recipe(record, told), record)
    if not path.is_file():
        raise UserError(
            f"{folder} is no run: it has no run.json. Give the folder that `crossmatch train --out` wrote, or a file "
            "that `crossmatch pack` wrote."
        )
    record = read_json(path, RunRecord, "restore it from a copy, or train again")
    return Run(folder, _recipe(record, str(path)), record)


def _recipe(record: RunRecord, told: str) -> Recipe:
    return parse_recipe({**record["recipe"], "methods": record.get("methods", {})}, told)


CALIBRATIONS = "calibration"  # the folder of what estimates of quality are fitted on
PLANNED = "recipe.toml"  # what `train auto` writes into a run's folder before the run is made


def create_run(folder: Path, recipe: Recipe, data: DataFacts, machine: Machine, begun_from: Path | None = None) -> Run:
    """Make the folder and write run.json.

    Args:
        begun_from: the run whose weights this one begins with.

    Raises:
        UserError: the folder holds something else than a run that has learned nothing yet; nothing in it is touched.
    """
    check_new(folder)
    record = new_record(recipe, data, machine)
    if begun_from is not None:
        record["begun_from"] = str(begun_from.resolve())
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "run.json", record)
    return Run(folder, recipe, record)


def new_record(recipe: Recipe, data: DataFacts, machine: Machine) -> RunRecord:
    """What run.json says of a run that is made now."""
    return {
        "recipe": recipe.model_dump(mode="json"),
        "methods": recipe.methods,
        "data": data,
        "code": {
            "crossmatch": version("crossmatch"),
            "commit": _commit(),
            "method_version": recipe.method_class.version,
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _RECORDED}},
        "device": machine.record(),
    }


def check_new(folder: Path) -> None:
    """Raise UserError where a folder holds something else than a run that has learned nothing yet."""
    if (folder / "checkpoints").exists():
        raise UserError(f"{folder} holds a run already: go on with it by adding --resume, or choose another --out.")
    started = (folder / "run.json").is_file()  # but nothing was learned: memory ran out, or it was stopped at once
    if folder.exists() and not started and (not folder.is_dir() or any(map(_is_foreign, folder.iterdir()))):
        raise UserError(f"{folder} exists and is not a run: choose another --out; nothing was written.")


def resume_run(folder: Path, recipe: Recipe, data: DataFacts, machine: Machine) -> Run:
    """An existing run that is to go on with exactly its settings and data, computed in the same way.

    Raises:
        UserError: other settings or data (the differences are listed), another version of the method, or another
            precision, number of devices or flags.
    """
    if not folder.exists():
        raise UserError(f"There is no run {folder} to resume: leave --resume out to start it.")
    run = open_run(folder)
    before, now = ({**facts, "root": None, "name": None} for facts in (run.data, data))  # a folder may be renamed
    if "learned_from" in before and before["learned_from"] == now.get("learned_from"):
        before["fingerprint"] = now["fingerprint"]  # test cases were added or corrected
    for facts in (before, now):
        for key in _FOLLOWING:
            facts.pop(key, None)
    changed = changes({"recipe": run.recipe.settings(), "data": before}, {"recipe": recipe.settings(), "data": now})
    if changed:
        raise UserError(
            f"The run {folder} cannot go on with other settings or data: {listed(changed, '; ')}. "
            f"{_way_out(folder, changed)}"
        )
    now_version = run.recipe.method_class.version
    if (version := run.record["code"].get("method_version", now_version)) != now_version:
        raise UserError(
            f"The run {folder} was begun with version {version} of the method {run.recipe.method.name}. Version "
            f"{now_version} computes something else: start a new run in another --out, or go on with the code that "
            f"began it (commit {run.record['code']['commit'] or 'unknown'})."
        )
    machine.check_resume(folder, run.record["device"])
    return run


def _way_out(folder: Path, changed: Sequence[str]) -> str:
    """What to do about settings or data that differ."""
    if any(text.startswith(("data.fingerprint ", "data.labelled ", "data.labels.")) for text in changed):
        return (
            "Cases that were added, labelled or corrected are for a new run, which can begin with the weights of this "
            f"one: crossmatch train --from {quoted(folder)} --out another folder."
        )
    if [text.split()[0] for text in changed] == ["recipe.train.steps"]:
        return "To extend a finished run, give --steps with --resume."
    return "Repeat the settings it was started with, or start a new run in another --out."


def _is_foreign(path: Path) -> bool:
    """Neither a lock, nor what a process leaves that is killed while it writes, nor a planned recipe."""
    return path.name not in (LOCK, PLANNED) and not path.name.startswith(HIDDEN)


# Of the data: what follows from other facts, and what earlier versions did not record.
_FOLLOWING = ("learned_from", "seen", "labelled_before", "contents", "contents_before", "unlabelled_cases")
_RECORDED = ("torch", "numpy", "scipy", "nibabel", "lightning-fabric")


def _commit() -> str | None:
    """The commit of this code with "+changes" where files differ from it; None where it is not a checkout's own."""
    here = Path(__file__)

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=here.parent, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # not an installed copy inside somebody else's repository
        return git("describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None
