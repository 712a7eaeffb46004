"""Training with a compiled step, and what is refused of `--compile` and `--graphs`."""

import shutil
from pathlib import Path

import pytest
import torch

from crossmatch.errors import UserError
from crossmatch.methods import METHODS
from crossmatch.methods.supervised import Supervised
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run
from crossmatch.training.fit import fit
from crossmatch.training.ranks import ALONE, Place
from crossmatch.training.team import check_flags
from tiny import write_dataset
from train_tiny import TINY, Quiet

RECIPE = [*TINY, "train.steps=2", "train.log_every=1", "train.precision=float32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, n_val=0)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs a C++ compiler")
def test_a_compiled_step_is_the_plain_step_but_for_rounding(data, tmp_path, monkeypatch):
    """Views, loss, gradients, optimiser. Compiled code draws dropout in its own way, unless told otherwise."""
    monkeypatch.setattr(torch._inductor.config, "fallback_random", True)
    torch._dynamo.reset()
    chosen = load_recipe("phantom", RECIPE)
    fit(chosen, data, tmp_path / "plain", Quiet())
    fit(chosen, data, tmp_path / "compiled", Quiet(), compiled=True)
    plain, compiled = (read_metrics(tmp_path / run / "metrics.jsonl") for run in ("plain", "compiled"))
    assert plain[0]["train"].keys() >= {"total", "sup", "tkd", "dkd"}
    for terms, tolerance in ((0, 1e-5), (1, 1e-3)):  # the second step has the first one's gradients
        assert compiled[terms]["train"] == pytest.approx(plain[terms]["train"], rel=tolerance)
    assert open_run(tmp_path / "compiled").record["device"]["flags"] == ["--compile"]
    with pytest.raises(UserError, match=r"started with --compile, and would go on with neither --compile nor --graphs"):
        fit(chosen, data, tmp_path / "compiled", Quiet(), resume=True)
    with pytest.raises(UserError, match=r"started with neither --compile nor --graphs, and would go on with --compile"):
        fit(chosen, data, tmp_path / "plain", Quiet(), resume=True, compiled=True)


class Reads(Supervised):
    """A method that waits for its device."""

    def loss(self, batch, progress):
        terms = super().loss(batch, progress)
        return terms if terms["total"].item() > 0 else {}


def test_a_method_that_cannot_be_compiled_is_said_so(data, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "supervised", Reads)
    torch._dynamo.reset()
    chosen = load_recipe("phantom", [*RECIPE, "method.name=supervised"])
    with pytest.raises(UserError, match=r"--compile failed.*train without it"):
        fit(chosen, data, tmp_path / "run", Quiet(), compiled=True)


def test_graphs_need_one_gpu(data, tmp_path):
    chosen = load_recipe("phantom", RECIPE)
    with pytest.raises(UserError, match="training is on the CPU: leave it out"):
        fit(chosen, data, tmp_path / "run", Quiet(), graphs=True)
    assert not (tmp_path / "run").exists()
    for flags in (["--compile"], ["--graphs"], ["--compile", "--graphs"]):
        with pytest.raises(UserError, match=f"{' and '.join(flags)} needs one device, and 2 are asked for"):
            check_flags(flags, torch.device("cuda"), Place(count=2))
        check_flags(flags, torch.device("cuda"), ALONE)
