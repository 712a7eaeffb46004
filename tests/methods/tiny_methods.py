"""Methods on tiny networks and batches of noise, for the tests of methods."""

import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from crossmatch.batches.batch import Batch, Unlabelled
from crossmatch.methods import METHODS, Method
from crossmatch.methods.losses import DiceSettings
from crossmatch.networks import NETWORKS
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.machine import Machine
from crossmatch.runs.run import create_run
from crossmatch.training.fit import fit
from crossmatch.training.teacher import load_teacher
from train_tiny import TINY, Quiet
from untrained import save_untrained, small_recipe

# (network, axes) -> voxels of an image; a V-Net takes multiples of 16
SIZES = {("unet", 2): (16, 12), ("unet", 3): (8, 12, 6), ("vnet", 2): (64, 32), ("vnet", 3): (16, 32, 16)}
RUNS = tempfile.TemporaryDirectory()  # of teachers; gone with the process
# Settings under which a network that has learned nothing yet is sure enough to teach, with a weight that shows.
SURE = {
    "supervised": {},
    "supervised_strong": {},
    "pseudo_label": {"threshold": 0.3},
    "self_distillation": {},
    "mean_teacher": {"unlabelled_weight": 30.0},
    "uamt": {"unlabelled_weight": 30.0, "threshold": 0.95},
    "fixmatch": {"threshold": 0.3},
    "unimatch": {"threshold": 0.3},
    "cps": {},
    "urpc": {"unlabelled_weight": 10.0},
    "dmd": {},
    "mcnet": {"unlabelled_weight": 1.0},
    "dtc": {},
    "admt": {"threshold": 0.3},
    "ssnet": {"unlabelled_weight": 1.0},
    "sassnet": {"unlabelled_weight": 1.0},
    "caml": {"vectors": 4},
    "bcp": {},
    "sdcl": {},
    "cml": {},
    "crossmatch": {"threshold": 0.3},
}


def build(name: str, dims: int, network: str = "unet", **changes: object) -> Method:
    """A method on a U-Net of two levels or a V-Net of width 2, without dropout, seeded.

    `changes` go to the method's settings.
    """
    torch.manual_seed(0)
    small = {"unet": {"width": 4, "dropout": (0.0, 0.0)}, "vnet": {"width": 2, "dropout": 0.0}}
    kind = NETWORKS[network]
    built = kind(dims, 2, 3, kind.Settings(**small[network]))
    taught = {"teacher": teacher(dims)} if name == "distillation" else {}
    settings = METHODS[name].Settings(**(SURE.get(name, {}) | taught | changes))
    if settings.taught_by is None:
        return METHODS[name](built, settings, DiceSettings())
    return METHODS[name](built, settings, DiceSettings(), load_teacher(settings.taught_by, built))


@cache
def teacher(dims: int, channels: int = 2, classes: int = 3) -> str:
    """The folder of a run whose U-Net has learned nothing, but is sure."""
    recipe = small_recipe(f"data.size={[16] * dims}")
    names = [str(value) for value in range(channels)]
    labels = {str(value): value for value in range(classes)}
    facts = {
        "root": "",
        "name": "tiny",
        "fingerprint": "",
        "labels": labels,
        "channels": names,
        "slice_axis": 2,
        "labelled": [],
        "unlabelled": 0,
        "validation": [],
    }
    with torch.random.fork_rng():
        run = create_run(
            Path(tempfile.mkdtemp(dir=RUNS.name)) / "run", recipe, facts, Machine(torch.device("cpu"), "float32")
        )
        save_untrained(run, "last", seed=1)
    return str(run.folder)


def trained_teacher(data: Path) -> str:
    """The folder of a run of one step on a dataset: a teacher for runs on the same data."""
    folder = Path(tempfile.mkdtemp(dir=RUNS.name)) / "run"
    with torch.random.fork_rng():
        fit(load_recipe("phantom", [*TINY, "train.steps=1", "method.name=supervised"]), data, folder, Quiet())
    return str(folder)


def noise(dims: int, network: str = "unet", labelled: int = 2, unlabelled: int = 3) -> Batch:
    """Images of two channels and labels of three classes, nothing in them to learn."""
    drawn = torch.Generator().manual_seed(dims)
    size = SIZES[network, dims]

    def draw() -> Unlabelled:
        weak = torch.rand(unlabelled, 2, *size, generator=drawn)
        strong = torch.rand(unlabelled, 2, 2, *size, generator=drawn)
        return Unlabelled(weak, strong, torch.rand(unlabelled, 2, *size, generator=drawn) < 0.3)

    x = torch.rand(labelled, 2, *size, generator=drawn)
    y = torch.randint(0, 3, (labelled, *size), generator=drawn)
    return Batch(x, y, draw(), draw())


def first_loss(method: Method, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    """The terms of one step, dropout seeded."""
    torch.manual_seed(seed)
    return method(batch, torch.tensor(0.5))
