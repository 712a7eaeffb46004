"""What can only be seen on a GPU: captured steps, pinned copies, memory of the device. Skips where there is none."""

from pathlib import Path

import pytest
import torch

from crossmatch.methods import METHODS
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
STEPS = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, n_val=1)


def recipe(*changes: str, steps: int = STEPS) -> Recipe:
    settings = [*TINY, f"train.steps={steps}", "train.log_every=1", "data.labelled=2", "train.ema=0.9", *changes]
    return load_recipe("phantom", settings)


def run(out: Path, data: Path, *changes: str, stop: int | None = None, device: str = "cuda", **how: object) -> Path:
    fit(recipe(*changes), data, out, Quiet(interrupt_at=stop), device=device, **how)
    return out


def same(ours: Path, theirs: Path, start: Path) -> None:
    """Two runs end within a twentieth of the way that the weights have come since `start`.

    A GPU adds up in another order each time, so weights of two runs are never equal. A wrong graph is far off: another
    stream of dropout alone moves these runs apart by an eighth to a quarter of the way, another number of threads on a
    CPU by a hundredth at most.
    """
    assert apart(ours, theirs) < 0.05 * apart(theirs, start)
    for mine, other in zip(*(read_metrics(out / "metrics.jsonl") for out in (ours, theirs)), strict=True):
        for group in mine.keys() - {"step"}:
            assert mine[group] == pytest.approx(other[group], rel=0.05, abs=0.02)


def apart(ours: Path, theirs: Path) -> float:
    """Euclidean distance between all that two runs have learned."""
    left, right = weights(ours), weights(theirs)
    assert left.keys() == right.keys()
    learned = [key for key in left if key.startswith("method/") and key.endswith((".weight", ".bias"))]
    return float(sum(((left[key].float() - right[key].float()) ** 2).sum() for key in learned) ** 0.5)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "distillation"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_graphed_step_is_the_plain_step(name, precision, data, tmp_path):
    """Validated between replays, and with a graph for each of BCP's stages."""
    changes = [f"method.name={name}", f"train.precision={precision}"]
    changes += ["method.pretraining=0.5"] if name == "bcp" else []
    same(
        run(tmp_path / "graphed", data, *changes, graphs=True),
        run(tmp_path / "plain", data, *changes),
        start=run(tmp_path / "start", data, *changes, stop=1),
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_graphed_run_goes_on(optimizer, data, tmp_path):
    changes = [f"train.optimizer={optimizer}", "train.precision=float32"]
    whole = run(tmp_path / "whole", data, *changes, graphs=True)
    start = run(tmp_path / "start", data, *changes, stop=1)
    parts = run(tmp_path / "parts", data, *changes, stop=6, graphs=True)
    assert fit(recipe(*changes), data, parts, Quiet(), device="cuda", graphs=True, resume=True) == STEPS
    same(parts, whole, start)


def test_voxels_in_a_file_are_prefetched_while_the_graph_is_captured(data, tmp_path):
    same(
        run(tmp_path / "mapped", data, "data.memory_gb=0", graphs=True),
        run(tmp_path / "plain", data),
        start=run(tmp_path / "start", data, stop=1),
    )


def test_the_gpu_learns_what_the_cpu_does(data, tmp_path):
    """The first step alone: dropout differs from device to device, so there is none."""
    changes = ["network.dropout=[0, 0]", "method.weak_rate=0", "method.strong_rate=0", "train.precision=float32"]
    first = run(tmp_path / "cuda", data, *changes, stop=1)
    other = run(tmp_path / "cpu", data, *changes, stop=1, device="cpu")
    ours, theirs = (read_metrics(out / "metrics.jsonl")[0]["train"] for out in (first, other))
    assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_the_second_gpu_captures_too(data, tmp_path):
    same(
        run(tmp_path / "graphed", data, device="cuda:1", graphs=True),
        run(tmp_path / "plain", data, device="cuda:1"),
        start=run(tmp_path / "start", data, device="cuda:1", stop=1),
    )
