"""Two ranks on CPUs: every method under DDP, what the ranks agree on, and a run that is stopped and resumed."""

import json
import sys
from pathlib import Path

import pytest
import torch

from crossmatch.errors import UserError
from crossmatch.methods import METHODS
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.checkpoint import load_checkpoint
from crossmatch.runs.devices import choose_device
from crossmatch.runs.logbook import read_metrics
from crossmatch.training.fit import fit
from crossmatch.training.ranks import ALONE, SILENT, Place
from crossmatch.training.team import Team, check_place
from ranks import FAILS, FOUR_STEPS, HERE, gradients, half, run_ranks, seed, variants
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights

CPU = torch.device("cpu")
VARIANTS = (*METHODS, "vnet without normalisation")


def test_a_pass_without_gradient_takes_none_from_the_next() -> None:
    """As PyTorch did up to 2.10, by the weights that autocast kept; methods look at a network before they train it."""
    layer, image = torch.nn.Conv2d(1, 2, 3), torch.ones(1, 1, 5, 5)
    with Team(ALONE, CPU, bf16=True).fabric.autocast():
        with torch.no_grad():
            layer(image)
        layer(image).float().sum().backward()
    torch.testing.assert_close(layer.weight.grad, torch.full((2, 1, 3, 3), 9.0))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, str]]]:
    folder = tmp_path_factory.mktemp("ranks")
    return folder, run_ranks("methods", folder)


@pytest.fixture(scope="module")
def expected() -> dict:
    """The methods as the ranks build them, here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(HERE / "methods")])
        return [variants() for _ in range(2)]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_gradient_is_the_mean_of_the_halves(name, ended, expected):
    """Each half alone in one process, with its rank's seed; then the mean."""
    alone = []
    for rank in range(2):
        method, batch = expected[rank][name]
        method.before_step(0, 4)
        seed(0, rank)
        method(half(batch, rank), torch.tensor(0.5))["total"].backward()
        alone.append(gradients(method))
    found = [torch.load(ended[0] / f"methods{rank}.pt")[name]["gradients"] for rank in range(2)]
    assert found[0].keys() == alone[0].keys()
    for key in alone[0]:
        torch.testing.assert_close(found[0][key], (alone[0][key] + alone[1][key]) / 2, atol=1e-6, rtol=1e-4, msg=key)
        assert torch.equal(found[0][key], found[1][key]), key
    assert any(not torch.allclose(alone[0][key], alone[1][key]) for key in alone[0])


@pytest.mark.parametrize("name", VARIANTS)
def test_ranks_hold_the_same_weights_and_begin_each_step_with_the_statistics_of_rank_0(name, ended):
    one, other = (torch.load(ended[0] / f"methods{rank}.pt")[name] for rank in range(2))
    assert all(torch.equal(value, other["parameters"][key]) for key, value in one["parameters"].items())
    for key, value in one["buffers"].items():
        assert torch.equal(other["next buffers"][key], value), key
    means = [key for key in one["buffers"] if key.startswith("network.") and key.endswith("running_mean")]
    assert (len(means) > 0) is (name in METHODS)
    assert all(not torch.equal(one["buffers"][key], other["buffers"][key]) for key in means)


def test_what_ranks_agree_on(ended):
    for rank in range(2):
        found = torch.load(ended[0] / f"agree{rank}.pt")
        assert found["any"] == [True, False]
        assert found["first"] == "made by 0"
        assert found["mean"][0] == 0.5
        assert found["mean"][1].isnan()


def test_the_first_to_fail_tells_and_the_other_ends_silently(ended):
    (code, said), (failed, why) = ended[1]
    assert (code, said) == (SILENT, "")
    assert failed == 1
    assert why.count(FAILS) == 1


def test_one_that_trains_alone_asks_nobody():
    team = Team(Place(), CPU, bf16=False)
    with team.together():
        assert team.leads
        assert team.first(lambda: 3) == 3
        assert (team.any(True), team.any(False)) == (True, False)
        assert torch.equal(team.mean(torch.ones(2)), torch.ones(2))


def test_batch_statistics_are_joined_on_gpus_alone(expected):
    """What the optimiser and checkpoints hold stays as it is. Nothing of it runs on a GPU here."""
    method, _ = expected[1]["mean_teacher"]
    team = object.__new__(Team)
    team.place, team.device = Place(count=2), CPU
    kinds = {name: type(module) for name, module in method.named_modules()}
    assert {name: type(module) for name, module in team.joined(method).named_modules()} == kinds
    before, keys = dict(method.named_parameters()), list(method.state_dict())
    team.device = torch.device("cuda", 0)
    joined = team.joined(method)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in joined.modules())
    assert sum(isinstance(module, torch.nn.SyncBatchNorm) for module in joined.modules()) == sum(
        kind is torch.nn.BatchNorm2d for kind in kinds.values()
    )
    assert list(joined.state_dict()) == keys
    assert all(weight is before[name] for name, weight in joined.named_parameters())


def test_a_signal_to_one_rank_stops_both_after_one_step_and_resuming_is_exact(tmp_path):
    data = write_dataset(tmp_path / "data", n_train=3)
    ended = run_ranks("fits", tmp_path)
    assert [code for code, _ in ended] == [0, 0], ended
    assert [torch.load(tmp_path / f"fits{rank}.pt") for rank in range(2)] == [[4, 2, 4], [4, 2, 4]]
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    networks = [load_checkpoint(tmp_path / run / "checkpoints/last.safetensors").network for run in ("whole", "parts")]
    assert all(torch.equal(value, networks[1][key]) for key, value in networks[0].items())
    mean = next(key for key in networks[0] if key.endswith("running_mean"))
    assert not torch.allclose(networks[0][mean], whole[f"average/network.{mean}"], atol=1e-3)  # its own fit better
    assert json.loads((tmp_path / "whole/run.json").read_text())["device"]["count"] == 2
    lines = read_metrics(tmp_path / "whole/metrics.jsonl")
    assert [line["step"] for line in lines] == [3, 4, 4]  # 4: before validation, and validation; once, not once a rank
    assert {path.name for path in (tmp_path / "whole").iterdir()} == {
        *("run.json", "metrics.jsonl", "tensorboard", "checkpoints")
    }
    recipe = load_recipe("phantom", [*TINY, *FOUR_STEPS])
    with pytest.raises(UserError, match=r"started on 2 devices, and would go on on 1: .* --devices 2"):
        fit(recipe, data, tmp_path / "parts", Quiet(), resume=True)


class TestCheckPlace:
    @pytest.mark.parametrize(("labelled", "ranks", "following"), [(3, 2, 4), (2, 4, 4), (12, 8, 16)])
    def test_a_batch_that_cannot_be_shared(self, labelled, ranks, following):
        recipe = load_recipe("phantom", [*TINY, f"train.batch.labelled={labelled}", "train.batch.unlabelled=16"])
        told = rf"train\.batch\.labelled is {labelled}.*--set train\.batch\.labelled={following}\."
        with pytest.raises(UserError, match=told):
            check_place(recipe, CPU, Place(count=ranks))
        check_place(load_recipe("phantom", [*TINY, f"train.batch.labelled={following}"]), CPU, Place(count=2))

    def test_unlabelled_images_count_where_the_method_needs_them(self):
        changes = [*TINY, "train.batch.unlabelled=3"]
        with pytest.raises(UserError, match=r"train\.batch\.unlabelled is 3"):
            check_place(load_recipe("phantom", changes), CPU, Place(count=2))
        check_place(load_recipe("phantom", [*changes, "method.name=supervised"]), CPU, Place(count=2))

    def test_a_share_too_small_to_normalise(self):
        changes = [*TINY, "network.width=4", "network.dropout=[0, 0, 0, 0, 0]"]
        recipe = load_recipe("phantom", changes)
        check_place(recipe, CPU, Place())
        with pytest.raises(UserError, match=r"shared by 2 devices: .*one voxel a batch"):
            check_place(recipe, CPU, Place(count=2))

    def test_gpus(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        recipe = load_recipe("phantom", TINY)
        with pytest.raises(UserError, match="2 ranks on this machine need as many GPUs, and PyTorch sees 1"):
            check_place(recipe, choose_device("auto"), Place(count=2))
        check_place(recipe, choose_device("auto"), Place(count=2, nodes=2))
        with pytest.raises(UserError, match="--device cuda:0 is one GPU"):
            check_place(recipe, choose_device("cuda:0"), Place(count=2))


def test_in_bf16_convolutions_alone_are_rounded():
    """Images, progress (988 values of bfloat16 for 14,000 steps) and losses stay float32."""
    seen = {}

    class Echo(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 1, 1)

        def forward(self, image, progress):
            seen.update(image=image, progress=progress, conv=self.conv(image))
            return {"total": seen["conv"].float().mean() * progress}

    team, network = Team(Place(), CPU, bf16=True), Echo()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    model, _ = team.fabric.setup(network, optimizer)
    image, progress = torch.rand(2, 1, 4, 4), torch.tensor(1 / 3)
    assert model(image, progress)["total"].dtype == torch.float32
    assert torch.equal(seen["image"], image)
    assert torch.equal(seen["progress"], progress)
    assert seen["conv"].dtype == torch.bfloat16
