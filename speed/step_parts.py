"""What the benchmarks of steps and data measure: a training step of a recipe on noise, as much as a real dataset has.

Shapes: B batch, C channels, *S space.
"""

from pathlib import Path

import numpy as np
import torch

from crossmatch.batches.intensity import RED_GREEN_BLUE
from crossmatch.batches.store import Store
from crossmatch.batches.views import Batches
from crossmatch.networks import NETWORKS, Segmenter
from crossmatch.networks.segmenter import to_channels_last
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.devices import uses_bf16
from crossmatch.runs.run import Run
from crossmatch.training.ranks import ALONE
from crossmatch.training.state import TrainerState
from crossmatch.training.step import TrainingStep
from crossmatch.training.team import Team

# axes -> (classes, items, voxels of an item): like ACDC's slices, like LA's volumes
DATA = {2: (4, 60, (216, 256)), 3: (2, 12, (200, 150, 88))}


def channels_of(recipe: Recipe) -> int:
    """Three of a recipe for colours, one of the others."""
    return RED_GREEN_BLUE if recipe.data.normalise == "colour" else 1


def random_store(recipe: Recipe, device: torch.device) -> Store:
    """As many items of noise as make the look-up touch memory like real data does."""
    classes, items, native = DATA[recipe.dims]
    native, channels = recipe.data.stored_size or native, channels_of(recipe)
    voxels, drawn = int(np.prod(native)), torch.Generator().manual_seed(0)
    offset = torch.arange(items) * voxels
    grey = torch.randint(-(2**15), 2**15, (channels * items * voxels,), dtype=torch.int16, generator=drawn)
    labels = torch.randint(0, classes, (items * voxels,), dtype=torch.uint8, generator=drawn)
    return Store(
        voxels=grey.to(device),
        labels=labels.to(device),
        offset=channels * offset,
        channel_stride=torch.full((items,), voxels),
        label_offset=offset,
        size=torch.tensor([native] * items),
        zero=torch.full((items, channels), -(2.0**15)),
        factor=torch.full((items, channels), 1 / 65535),
        low=torch.zeros(items, channels),
        high=torch.ones(items, channels),
        labelled=torch.arange(items // 2),
        unlabelled=torch.arange(items // 2, items),
        colours=channels == RED_GREEN_BLUE,
    )


def random_network(recipe: Recipe) -> Segmenter:
    """The recipe's network, weights seeded."""
    torch.manual_seed(0)
    return NETWORKS[recipe.network.name](
        recipe.dims, channels_of(recipe), DATA[recipe.dims][0], recipe.network.settings
    )


def make_batches(recipe: Recipe, store: Store, device: torch.device) -> Batches:
    """Batches as a training of the recipe draws them."""
    sizes = (recipe.data.size, recipe.views, recipe.train.batch)
    how = {"patches": recipe.data.sampling == "patch", "augmented": recipe.method_class.augmented}
    return Batches(store, *sizes, recipe.seed, device, unlabelled=True, **how)


def make_step(
    recipe: Recipe,
    batches: Batches,
    device: torch.device,
    compiled: bool = False,
    graphs: bool = False,
    contiguous: bool = False,
) -> TrainingStep:
    """The step that `crossmatch train` takes, or one whose weights and features are not channels_last."""
    team = Team(ALONE, device, uses_bf16(recipe.train.precision, device, recipe.coarse_size))
    network = random_network(recipe) if contiguous else to_channels_last(random_network(recipe))
    state = TrainerState.fresh(recipe, network, device, graphs)
    return TrainingStep(Run(Path(), recipe, {}), team, state, batches, compiled, graphs)
