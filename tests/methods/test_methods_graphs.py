"""Every method's step as a graph: replayed on the same memory, and compiled, it does what it does plainly."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from tape import Tape, record
from tiny_methods import build, noise, trained_teacher

from crossmatch.batches.batch import Batch
from crossmatch.methods import METHODS, Method
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.training import fit as train_module
from crossmatch.training import step as step_module
from crossmatch.training.fit import fit
from crossmatch.training.graphs import WARM_UP, GraphedStep
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights

# Settings for the traced loss. uamt: else rounding can turn a voxel from certain to doubtful. cml: the search for
# components, which bcp's graph has too, is traced for two networks, and takes half of the time.
TRACED = {"uamt": {"threshold": 1.0}, "cml": {"largest_component": 0}}
BACKWARDS = ("crossmatch", "unimatch", "sdcl")  # traced backwards too, which takes three times as long
STEPS = 10  # captured after 3; BCP's second stage begins at step 5, and is captured at 8


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, n_val=1)


def test_the_tape_freezes_python_numbers():
    """What a graph would do: the stand-in must not hide it."""
    given = {"python": 1.0, "tensor": torch.ones(())}

    def work(x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"python": x * given["python"], "tensor": x * given["tensor"]}

    graphed = GraphedStep(work, lambda call: record(call)[:2], lambda call: call())
    for value in (1.0, 2.0, 3.0, 4.0, 5.0):
        given["python"] = value
        given["tensor"].fill_(value)
        found = graphed(torch.tensor(10.0 * value), 0)
        assert found["tensor"] == 10 * value * value
        assert found["python"] == 10 * value * min(value, WARM_UP + 1)


def test_the_tape_sees_a_copy_from_the_host():
    _, _, tape = record(lambda: {"x": torch.tensor([1.0, 2.0]).sum()})
    assert tape.copied_from_host == 1


def test_each_stage_has_a_graph():
    captured = Counter()

    def capture(call):
        captured["now"] += 1
        return record(call)[:2]

    graphed = GraphedStep(lambda x: {"x": x + captured["now"]}, capture, lambda call: call())
    for stage, graphs in ((0, 1), (1, 2), (1, 2), (0, 3)):
        for _ in range(WARM_UP + 2):
            graphed(torch.zeros(()), stage)
        assert captured["now"] == graphs


@pytest.mark.parametrize(("name", "optimizer"), [*((name, "sgd") for name in METHODS), ("crossmatch", "adamw")])
def test_a_replayed_step_is_the_plain_step(name, optimizer, data, tmp_path, monkeypatch):
    settings = [*TINY, f"train.steps={STEPS}", "train.log_every=1", f"method.name={name}", "data.labelled=2"]
    settings += [f"train.optimizer={optimizer}", "train.ema=0.9"]
    if name == "crossmatch":  # each size is captured
        settings += ["data.early_size=[8, 8]", "data.early_share=0.5"]
    if name == "bcp":  # both stages are captured
        settings += ["method.pretraining=0.5"]
    if name == "distillation":
        settings += [f"method.teacher={trained_teacher(data)}"]
    chosen = load_recipe("phantom", settings)
    assert fit(chosen, data, tmp_path / "plain", Quiet()) == STEPS
    tapes: list[Tape] = []

    class Taped:
        def aside(self, call):
            return call()

        def capture(self, call):
            terms, replay, tape = record(call)
            tapes.append(tape)
            return terms, replay

    monkeypatch.setattr(step_module, "CudaGraphs", Taped)
    monkeypatch.setattr(train_module, "check_flags", lambda *_: None)
    assert fit(chosen, data, tmp_path / "graphed", Quiet(), graphs=True) == STEPS
    assert len(tapes) == (2 if name in ("bcp", "crossmatch") else 1)
    for tape in tapes:
        assert len(tape.done) > 100
        assert tape.copied_from_host == 0
        assert not tape.waits
    plain, graphed = weights(tmp_path / "plain"), weights(tmp_path / "graphed")
    assert plain.keys() == graphed.keys()
    for key in plain:
        torch.testing.assert_close(graphed[key], plain[key], rtol=1e-4, atol=1e-6)  # the learning rate is float32
    for ours, theirs in zip(
        *(read_metrics(tmp_path / run / "metrics.jsonl") for run in ("graphed", "plain")), strict=True
    ):
        for group in ours.keys() - {"step"}:
            assert ours[group] == pytest.approx(theirs[group], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("name", "step"), [*((name, 500) for name in METHODS), ("bcp", 0), ("admt", 401)])
def test_the_loss_compiles_to_one_graph(name, step):
    """Traced, not yet translated: no break, and loss and gradients are the plain ones."""
    changes = TRACED.get(name, {})
    plain, compiled = build(name, 2, **changes), build(name, 2, **changes)
    compare(plain, compiled, noise(2), step, "aot_eager" if name in BACKWARDS else "eager")


def test_it_does_in_3d():
    compare(build("crossmatch", 3), build("crossmatch", 3), noise(3), 500, "aot_eager")


def compare(plain: Method, compiled: Method, batch: Batch, step: int, backend: str) -> None:
    """One graph, no break; loss and gradients of `plain`."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled.compile(fullgraph=True, dynamic=False, backend=backend)
    totals, gradients = [], []
    for method in (compiled, plain):
        torch.manual_seed(0)
        method.before_step(step, 1000)
        total = method(batch, torch.tensor(0.5))["total"]
        total.backward()
        totals.append(total.detach())
        gradients.append([weight.grad for weight in method.parameters() if weight.grad is not None])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]
    torch.testing.assert_close(*totals, rtol=1e-5, atol=0)
    assert gradients[1]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
