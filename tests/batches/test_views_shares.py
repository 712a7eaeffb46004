"""A batch in equal parts, as the ranks of one training take them: together they are what one device would draw."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.batches.store import Store, load_store
from crossmatch.batches.views import Batches, BatchSizes, ViewSettings
from crossmatch.dataset.dataset import open_dataset
from tiny import write_dataset

CPU = torch.device("cpu")
SIZES = {2: (16, 12), 3: (16, 12, 4)}
# every image disturbed in every way
VIEWS = {
    "weak": {"turn_probability": 0.5, "rotation_probability": 1},
    "strong": {"jitter_probability": 1, "blur_probability": 1, "blur_each_axis": True, "bias": 0.3, "gamma": 0.3},
    "cutmix": {"probability": 1},
}


def _tensors(batch: Batch) -> dict[str, Tensor]:
    assert batch.u is not None
    assert batch.mix is not None
    named = {f"u.{key}": value for key, value in batch.u._asdict().items()}
    return {"x": batch.x, "y": batch.y, **named, **{f"mix.{k}": v for k, v in batch.mix._asdict().items()}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), n_train=8, unlabelled=4, shape=(20, 18, 6), channels=2)


@pytest.mark.parametrize("patches", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_shares_together_are_the_whole_batch(root, dims, patches):
    """8 labelled and 4 + 4 unlabelled images of a step over 2 and 4 ranks; the images of two ranks differ."""
    labelled, unlabelled = open_dataset(root).labelled("all")
    store: Store = load_store(labelled, unlabelled, dims=dims, slice_axis=2, normalise="minmax", device=CPU)
    sizes = (SIZES[dims], ViewSettings.model_validate(VIEWS), BatchSizes(labelled=8, unlabelled=4))

    def draw(rank: int, ranks: int, step: int) -> dict[str, Tensor]:
        batches = Batches(store, *sizes, 5, CPU, unlabelled=True, patches=patches, share=(rank, ranks))
        return _tensors(batches(step))

    for ranks, step in ((2, 0), (4, 0), (2, 3)):
        whole, parts = draw(0, 1, step), [draw(rank, ranks, step) for rank in range(ranks)]
        for key, expected in whole.items():
            together = torch.cat([part[key] for part in parts])
            torch.testing.assert_close(together, expected, atol=1e-6, rtol=0, msg=f"{key} of {ranks} ranks")
            if not key.endswith("box"):
                assert not torch.equal(parts[0][key], parts[1][key]), key


def test_shares_of_labelled_images_alone(root):
    labelled, _ = open_dataset(root).labelled("all")
    store = load_store(labelled, (), dims=2, slice_axis=2, normalise="minmax", device=CPU)
    sizes = (SIZES[2], ViewSettings.model_validate(VIEWS), BatchSizes(labelled=6, unlabelled=5))
    whole, *parts = (
        Batches(store, *sizes, 5, CPU, unlabelled=False, share=share)(2) for share in ((0, 1), (0, 3), (1, 3), (2, 3))
    )
    assert [len(part.x) for part in parts] == [2, 2, 2]
    assert all(part.u is None for part in parts)
    assert torch.equal(torch.cat([part.x for part in parts]), whole.x)
    assert torch.equal(torch.cat([part.y for part in parts]), whole.y)
