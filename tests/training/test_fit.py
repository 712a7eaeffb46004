"""Training end to end on tiny data: determinism, resume, interruption, mistakes, and what a run leaves on disk."""

import json
from pathlib import Path

import pytest
import torch

from crossmatch.errors import UserError
from crossmatch.methods import METHODS
from crossmatch.networks.unet import UNet, UNetSettings
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.checkpoint import load_checkpoint
from crossmatch.runs.logbook import Recorder, read_metrics
from crossmatch.runs.run import open_run
from crossmatch.training import fit as train_module
from crossmatch.training.fit import fit
from crossmatch.training.state import TrainerState
from reading import note_reads
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights

CPU = torch.device("cpu")


def recipe(*changes: str) -> Recipe:
    return load_recipe("phantom", [*TINY, *changes])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, unlabelled=0)


@pytest.mark.parametrize("extra", [[], ["train.ema=0.9"], ["method.name=supervised"], ["train.optimizer=adamw"]])
def test_ten_steps_are_five_and_resume_and_five(data: Path, tmp_path: Path, extra: list[str]) -> None:
    chosen = recipe(*extra)
    assert fit(chosen, data, tmp_path / "whole", Quiet()) == 10
    assert fit(chosen, data, tmp_path / "parts", Quiet(interrupt_at=5)) == 5
    assert fit(chosen, data, tmp_path / "parts", Quiet(), resume=True) == 10
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert any(key.startswith("optimizer/") for key in whole)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    kept = [{k: v for k, v in line.items()} for line in read_metrics(tmp_path / "parts" / "metrics.jsonl")]
    steps = [line["step"] for line in kept if "train" in line]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("precision", ["bf16", "float32"])
def test_validation_computes_as_the_training_does(
    precision: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    monkeypatch.setattr(train_module, "validation", lambda predictor, _: used.append(predictor.bf16) or {"mean": 0.5})
    fit(recipe(f"train.precision={precision}", "train.steps=1"), data, tmp_path / "run", Quiet())
    assert used == [precision == "bf16"]


def test_a_run_killed_after_a_checkpoint_resumes_and_repeats_no_log_line(data: Path, tmp_path: Path) -> None:
    class Killed(Quiet):
        def step(self, step: int, steps: int, values: dict[str, float]) -> None:
            if step == 8:
                raise MemoryError

    with pytest.raises(UserError, match=r"Out of memory.*train\.batch"):
        fit(recipe(), data, tmp_path / "run", Killed())
    assert load_checkpoint(tmp_path / "run/checkpoints/last.safetensors").facts["step"] == 5
    fit(recipe(), data, tmp_path / "run", Quiet(), resume=True)
    fit(recipe(), data, tmp_path / "whole", Quiet())
    assert read_metrics(tmp_path / "run/metrics.jsonl") == read_metrics(tmp_path / "whole/metrics.jsonl")


def test_momentum_and_rate_are_the_methods(data: Path, tmp_path: Path) -> None:
    """Two weights, by hand: plain momentum for UA-MT, Nesterov's for CrossMatch; BCP's rate does not fall."""
    for name, nesterov in (("uamt", False), ("crossmatch", True)):
        state = TrainerState.fresh(recipe(f"method.name={name}"), UNet(2, 1, 2, UNetSettings(dropout=(0, 0))), CPU)
        weight = state.optimizer.param_groups[0]["params"][0]
        before, rate, decay = weight.detach().clone(), 0.01, 1e-4
        for gradient in (1.0, 0.5):
            weight.grad = torch.full_like(weight, gradient) - decay * weight.detach()  # with the decay: the gradient
            state.optimizer.step()
        steps = [1 + 0.9, 0.5 + 0.9 * 1.4] if nesterov else [1.0, 1.4]
        torch.testing.assert_close(weight.detach(), before - rate * sum(steps))
    fit(
        recipe("method.name=bcp", "method.rate_falls=0.4", "train.steps=4", "train.log_every=1"),
        data,
        tmp_path,
        Quiet(),
    )
    lines = [line["train"] for line in read_metrics(tmp_path / "metrics.jsonl") if "train" in line]
    assert [line["learning_rate"] for line in lines] == pytest.approx([0.01, 0.01, 0.01, 0.001])


def test_the_seed_decides(data: Path, tmp_path: Path) -> None:
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        fit(recipe(f"seed={seed}", "train.steps=3"), data, tmp_path / name, Quiet())
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["method/network.head.weight"], c["method/network.head.weight"])


def test_a_run_records_what_made_it(data: Path, tmp_path: Path) -> None:
    fit(recipe(), data, tmp_path / "run", Quiet())
    run = open_run(tmp_path / "run")
    assert run.recipe == recipe()
    assert run.data["labelled"] == ["case_001"]
    assert (run.data["unlabelled"], run.data["validation"]) == (2, ["case_004"])
    assert len(run.data["fingerprint"]) == 64
    assert {"torch", "python", "numpy"} <= run.record["versions"].keys()
    assert run.record["device"]["type"] == "cpu"
    assert run.record["code"].keys() == {"crossmatch", "commit", "method_version"}
    assert run.record["code"]["method_version"] == METHODS["crossmatch"].version
    lines = read_metrics(run.metrics)
    assert {"total", "sup", "tkd_sw", "confident", "learning_rate"} <= lines[0]["train"].keys()
    assert [line["step"] for line in lines if "validation" in line] == [5, 10]
    assert list((tmp_path / "run/tensorboard").iterdir())
    network, checkpoint = run.load_network("best")
    assert not network.training
    assert checkpoint.facts["best"] == max(line["validation"]["mean"] for line in lines if "validation" in line)
    assert checkpoint.training == {}


@pytest.mark.parametrize("method", [["method.name=supervised"], ["method.weak_rate=0.1", "method.strong_rate=0.5"]])
def test_it_learns_the_tiny_boxes(data: Path, tmp_path: Path, method: list[str]) -> None:
    display = Quiet()
    settings = [*method, "train.steps=60", "train.learning_rate=0.05", "network.dropout=[0.0, 0.0]"]
    fit(recipe(*settings), data, tmp_path / "run", display)
    assert display.last["validation"] > 0.6


def test_averaged_weights_are_what_is_kept(data: Path, tmp_path: Path) -> None:
    fit(recipe("train.ema=0.9"), data, tmp_path / "run", Quiet())
    kept = load_checkpoint(tmp_path / "run/checkpoints/last.safetensors")
    student = kept.training["method/network.head.weight"]
    assert torch.equal(kept.network["head.weight"], kept.training["average/network.head.weight"])
    assert not torch.equal(kept.network["head.weight"], student)


def test_labels_of_unlabelled_and_test_cases_are_never_opened(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(recipe("train.steps=1"), data, tmp_path / "before", Quiet())  # the fingerprint is made here
    opened: list[str] = []
    note_reads(monkeypatch, lambda path: opened.append(f"{path.parent.name}/{path.name}"))
    fit(recipe("train.steps=5"), data, tmp_path / "run", Quiet())
    assert {name for name in opened if name.startswith("labels")} == {
        "labelsTr/case_001.nii.gz",
        "labelsTr/case_004.nii.gz",  # validation
    }
    assert not any("Ts/" in name for name in opened)
    assert "imagesTr/case_003_0000.nii.gz" in opened


def test_voxels_on_disk_train_the_same(data: Path, tmp_path: Path) -> None:
    fit(recipe(), data, tmp_path / "memory", Quiet())
    fit(recipe("data.memory_gb=0"), data, tmp_path / "disk", Quiet(interrupt_at=4))
    fit(recipe(), data, tmp_path / "disk", Quiet(interrupt_at=8), resume=True)  # where voxels lie changes nothing
    fit(recipe("data.memory_gb=0"), data, tmp_path / "disk", Quiet(), resume=True)
    assert read_metrics(tmp_path / "memory/metrics.jsonl") == read_metrics(tmp_path / "disk/metrics.jsonl")
    left = [{path.name for path in (tmp_path / run).iterdir()} for run in ("memory", "disk")]
    assert left[0] == left[1]


def test_without_validation_there_is_no_best(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", n_val=0)
    fit(recipe(), data, tmp_path / "run", Quiet())
    with pytest.raises(UserError, match="no best checkpoint"):
        open_run(tmp_path / "run").load_network("best")


def test_warnings_of_the_check_are_repeated(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    image = (data / "imagesTr/case_001_0000.nii.gz").read_bytes()
    (data / "imagesTr/case_002_0000.nii.gz").write_bytes(image)
    display = Quiet()
    fit(recipe("train.steps=1"), data, tmp_path / "run", display)
    assert any("case_001" in text and "case_002" in text for text in display.warnings)


class TestMistakes:
    def test_a_folder_that_is_no_run_is_left_alone(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("precious")
        with pytest.raises(UserError, match="exists and is not a run"):
            fit(recipe(), data, tmp_path, Quiet())
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_run_is_not_overwritten(self, data: Path, tmp_path: Path) -> None:
        fit(recipe(), data, tmp_path / "run", Quiet())
        before = (tmp_path / "run/run.json").read_bytes()
        with pytest.raises(UserError, match="--resume"):
            fit(recipe(), data, tmp_path / "run", Quiet())
        assert (tmp_path / "run/run.json").read_bytes() == before

    def test_a_run_that_learned_nothing_may_be_started_over(self, data: Path, tmp_path: Path) -> None:
        class Full(Quiet):
            def step(self, step: int, steps: int, values: dict[str, float]) -> None:
                raise MemoryError

        with pytest.raises(UserError, match="Out of memory"):
            fit(recipe(), data, tmp_path / "run", Full())
        fit(recipe("train.batch.unlabelled=1", "train.steps=2"), data, tmp_path / "run", Quiet())
        assert open_run(tmp_path / "run").recipe.train.batch.unlabelled == 1
        assert [line["step"] for line in read_metrics(tmp_path / "run/metrics.jsonl") if "train" in line] == [2]

    def test_resume_in_another_precision(self, data: Path, tmp_path: Path) -> None:
        chosen = recipe("train.precision=float32")
        fit(chosen, data, tmp_path / "run", Quiet(interrupt_at=3))
        path = tmp_path / "run/run.json"
        record = json.loads(path.read_text())
        assert record["device"]["precision"] == "float32"
        record["device"]["precision"] = "bf16"
        path.write_text(json.dumps(record))
        with pytest.raises(UserError, match="started in bf16, and this machine would go on in float32"):
            fit(chosen, data, tmp_path / "run", Quiet(), resume=True)

    def test_weights_that_are_not_finite_are_not_kept(self, data: Path, tmp_path: Path) -> None:
        settings = ["train.learning_rate=1e38", "train.checkpoint_every=1", "train.log_every=1"]
        with pytest.raises(UserError, match="not finite"):
            fit(recipe(*settings), data, tmp_path / "run", Quiet())
        path = tmp_path / "run/checkpoints/last.safetensors"
        assert not path.exists() or all(torch.isfinite(v).all() for v in load_checkpoint(path).network.values())

    def test_resume_with_other_settings(self, data: Path, tmp_path: Path) -> None:
        fit(recipe(), data, tmp_path / "run", Quiet(interrupt_at=3))
        with pytest.raises(UserError, match=r"recipe\.train\.learning_rate was 0\.01, now 0\.1"):
            fit(recipe("train.learning_rate=0.1"), data, tmp_path / "run", Quiet(), resume=True)

    def test_resume_with_other_data(self, data: Path, tmp_path: Path) -> None:
        fit(recipe(), data, tmp_path / "run", Quiet(interrupt_at=3))
        other = write_dataset(tmp_path / "other", seed=1)
        with pytest.raises(UserError, match=r"data\.fingerprint was"):
            fit(recipe(), other, tmp_path / "run", Quiet(), resume=True)

    def test_resume_of_nothing(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="leave --resume out"):
            fit(recipe(), data, tmp_path / "run", Quiet(), resume=True)

    def test_a_checkpoint_of_another_network(self, data: Path, tmp_path: Path) -> None:
        fit(recipe(), data, tmp_path / "run", Quiet(interrupt_at=3))
        fit(recipe("network.width=8"), data, tmp_path / "other", Quiet(interrupt_at=3))
        checkpoint = "checkpoints/last.safetensors"
        (tmp_path / "run" / checkpoint).write_bytes((tmp_path / "other" / checkpoint).read_bytes())
        with pytest.raises(UserError, match="belongs to another network"):
            fit(recipe(), data, tmp_path / "run", Quiet(), resume=True)

    def test_a_damaged_checkpoint(self, data: Path, tmp_path: Path) -> None:
        fit(recipe(), data, tmp_path / "run", Quiet(interrupt_at=3))
        path = tmp_path / "run/checkpoints/last.safetensors"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(UserError, match="damaged"):
            fit(recipe(), data, tmp_path / "run", Quiet(), resume=True)

    def test_no_labelled_case(self, tmp_path: Path) -> None:
        data = write_dataset(tmp_path / "data", n_train=3, unlabelled=3, subsets=())
        with pytest.raises(UserError, match="No training case is labelled"):
            fit(recipe("data.labelled=all"), data, tmp_path / "run", Quiet())
        assert not (tmp_path / "run").exists()

    def test_no_unlabelled_case(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"needs unlabelled.*method\.name=supervised"):
            fit(recipe("data.labelled=all"), data, tmp_path / "run", Quiet())
        fit(recipe("data.labelled=all", "method.name=supervised", "train.steps=1"), data, tmp_path / "run", Quiet())

    def test_a_loss_that_is_not_finite(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        original = train_module.Recorder.add

        def spoil(self: Recorder, step: int, terms: dict[str, torch.Tensor]) -> None:
            original(self, step, {**terms, "ip1": terms["ip1"] * float("nan")} if step == 7 else terms)

        monkeypatch.setattr(Recorder, "add", spoil)
        with pytest.raises(UserError, match=r"ip1 was nan at step 7\. The last good checkpoint is .*last\.safetensors"):
            fit(recipe(), data, tmp_path / "run", Quiet())
        assert load_checkpoint(tmp_path / "run/checkpoints/last.safetensors").facts["step"] == 5

    def test_a_learning_rate_that_explodes(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"not finite.*at step \d+.*learning_rate"):
            fit(recipe("train.learning_rate=1e30", "train.checkpoint_every=50"), data, tmp_path / "run", Quiet())
        assert not (tmp_path / "run/checkpoints/last.safetensors").exists()

    def test_a_damaged_record(self, data: Path, tmp_path: Path) -> None:
        fit(recipe("train.steps=1"), data, tmp_path / "run", Quiet())
        (tmp_path / "run/run.json").write_text(json.dumps({"recipe": {}})[:-3])
        with pytest.raises(UserError, match="damaged"):
            open_run(tmp_path / "run")
