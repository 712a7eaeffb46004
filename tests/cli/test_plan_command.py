"""The commands that choose and go on: plan, train auto, --resume, --steps, --from, as a user calls them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from command import call
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.checkpoint import load_checkpoint
from crossmatch.runs.logbook import read_metrics
from crossmatch.runs.run import open_run
from refusal import refuse
from tiny import write_dataset
from train_tiny import TINY

SETTINGS = [part for change in TINY for part in ("--set", change)]
QUICK = ["--set", "train.steps=4", "--set", "data.labelled=1", "--device", "cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=3, shape=(32, 28, 4))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 10 steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    words = [sys.executable, "-m", "crossmatch", "train", "phantom", "--data", str(data), "--out", str(out), *SETTINGS]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    return out


def copied(run: Path, target: Path) -> Path:
    subprocess.run(["cp", "-r", str(run), str(target)], check=True)
    return target


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoints/last.safetensors").network


class TestPlan:
    def test_a_process_writes_a_recipe_that_trains(self, data, tmp_path):
        words = [sys.executable, "-m", "crossmatch", "plan", str(data), *QUICK]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
        for part in (
            "data.size = ",
            "slices lie 8 mm apart",
            "A step takes",
            "Memory: ",
            "Next: crossmatch train plan.toml",
        ):
            assert part in done.stdout, part
        recipe = load_recipe(str(tmp_path / "plan.toml"))
        assert (recipe.train.steps, recipe.data.labelled, recipe.dims) == (4, "1", 2)
        assert "# slices lie 8 mm apart" in (tmp_path / "plan.toml").read_text().replace("# 2D: ", "# ")

    def test_a_file_is_not_overwritten(self, data, tmp_path, capsys):
        (tmp_path / "mine.toml").write_text("precious")
        assert "mine.toml exists already" in refuse(capsys, tmp_path, "plan", data, "--out", tmp_path / "mine.toml")
        assert "must end in .toml" in refuse(capsys, tmp_path, "plan", data, "--out", tmp_path / "mine.txt")

    def test_too_few_minutes(self, data, tmp_path, capsys):
        words = ["plan", data, "--out", tmp_path / "p.toml", "--minutes", "0.01", "--device", "cpu"]
        assert "0.01 minutes are too few: the least training of 100 steps" in refuse(capsys, tmp_path, *words)

    def test_no_labelled_case(self, tmp_path, capsys):
        empty = write_dataset(tmp_path / "data", n_train=2, unlabelled=2, subsets=())
        call(capsys, "check", empty)
        assert "no labelled training case" in refuse(capsys, tmp_path, "plan", empty, "--out", tmp_path / "p.toml")

    def test_a_wrong_setting(self, data, tmp_path, capsys):
        message = refuse(capsys, tmp_path, "plan", data, "--out", tmp_path / "p.toml", "--set", "train.stepz=3")
        assert "unknown key train.stepz" in message


class TestAuto:
    def test_plans_says_and_trains(self, data, tmp_path, capsys):
        code, out, _ = call(capsys, "train", "auto", "--data", data, "--out", tmp_path / "run", *QUICK)
        assert code == 0
        assert "slices lie 8 mm apart" in out.replace("\n", " ")
        assert "Done: " in out
        kept = load_recipe(str(tmp_path / "run/recipe.toml"))
        assert kept == open_run(tmp_path / "run").recipe
        assert load_checkpoint(tmp_path / "run/checkpoints/last.safetensors").facts["step"] == 4

    def test_a_folder_that_is_no_run_is_refused_before_planning(self, data, tmp_path, capsys):
        (tmp_path / "thesis.txt").write_text("precious")
        assert "exists and is not a run" in refuse(capsys, tmp_path, "train", "auto", "--data", data, "--out", tmp_path)

    def test_minutes_belong_to_auto(self, data, tmp_path, capsys):
        words = ["train", "phantom", "--data", data, "--out", tmp_path / "run", "--minutes", "5"]
        assert "--minutes is for `crossmatch train auto`" in refuse(capsys, tmp_path, *words)

    def test_several_devices(self, data, tmp_path, capsys):
        words = ["train", "auto", "--data", data, "--out", tmp_path / "run", "--devices", "2"]
        assert "measures one device" in refuse(capsys, tmp_path, *words)


class TestResume:
    def test_needs_the_folder_alone(self, data, run, tmp_path, capsys):
        """Stopped after 5 of 10 steps, then --resume with nothing but --out: bit for bit the whole run."""
        out = copied(run, tmp_path / "run")
        record = json.loads((out / "run.json").read_text())
        words = ["train", "phantom", "--data", data, "--out", tmp_path / "half", *SETTINGS, "--set", "train.steps=10"]
        code = (
            "import signal, sys\n"
            "from crossmatch.runs.display import TrainingDisplay as D\n"
            "step = D.step\n"
            "def stopping(self, n, total, values):\n"
            "    step(self, n, total, values)\n"
            "    if n == 5: signal.raise_signal(signal.SIGINT)\n"
            "D.step = stopping\n"
            f"sys.argv = ['crossmatch', *{[str(word) for word in words]!r}]\n"
            "from crossmatch.cli.app import main\n"
            "main()\n"
        )
        stopped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
        assert stopped.returncode == 130, stopped.stderr
        assert "Stopped at step 5 of 10; go on with crossmatch train --resume --out" in " ".join(stopped.stdout.split())
        assert call(capsys, "train", "--resume", "--out", tmp_path / "half")[0] == 0
        whole, parts = weights(out), weights(tmp_path / "half")
        assert all(torch.equal(whole[name], parts[name]) for name in whole)
        assert json.loads((tmp_path / "half/run.json").read_text())["recipe"] == record["recipe"]

    def test_given_settings_must_agree(self, run, tmp_path, capsys):
        out = copied(run, tmp_path / "run")
        message = refuse(capsys, tmp_path, "train", "--resume", "--out", out, "--set", "train.learning_rate=0.5")
        assert "recipe.train.learning_rate was 0.01, now 0.5" in message
        message = refuse(capsys, tmp_path, "train", "acdc_3", "--resume", "--out", out)
        assert "cannot go on with other settings" in message or "The recipe is for the dataset" in message

    def test_data_that_are_gone(self, run, tmp_path, capsys):
        out = copied(run, tmp_path / "run")
        record = json.loads((out / "run.json").read_text())
        record["data"]["root"] = "/nowhere"
        (out / "run.json").write_text(json.dumps(record))
        assert "lay in /nowhere, and do not any more: say where with --data" in refuse(
            capsys, tmp_path, "train", "--resume", "--out", out
        )

    def test_no_run(self, tmp_path, capsys):
        assert "no run" in refuse(capsys, tmp_path, "train", "--resume", "--out", tmp_path / "none")

    def test_a_new_run_needs_data_and_recipe(self, data, tmp_path, capsys):
        assert "Name the dataset's folder with --data" in refuse(
            capsys, tmp_path, "train", "phantom", "--out", tmp_path / "r"
        )
        assert "Name a recipe: auto" in refuse(capsys, tmp_path, "train", "--data", data, "--out", tmp_path / "r")

    def test_a_newly_labelled_case_is_for_a_new_run(self, run, tmp_path, capsys):
        other = write_dataset(tmp_path / "data", n_train=3, shape=(32, 28, 4), seed=1)
        out = copied(run, tmp_path / "run")
        call(capsys, "check", other)
        message = refuse(capsys, tmp_path, "train", "--resume", "--out", out, "--data", other)
        assert "data.fingerprint was" in message
        assert f"crossmatch train --from {out} --out" in message


class TestExtend:
    def test_a_finished_run_goes_on_with_a_stated_schedule(self, run, tmp_path, capsys):
        """At step 10 of 20 the rate is 0.01 times (1 - 0.5) ** 0.9."""
        out = copied(run, tmp_path / "run")
        code, told, _ = call(capsys, "train", "--resume", "--out", out, "--steps", "20")
        assert code == 0
        assert "from step 10 on, the run continues as one of 20 steps" in " ".join(told.split())
        found = open_run(out)
        assert found.recipe.train.steps == 20
        (extended,) = found.record["extended"]
        assert (extended["before"], extended["steps"]) == (10, 20)
        assert "0.00536" in extended["schedule"]
        rates = {
            line["step"]: line["train"]["learning_rate"]
            for line in read_metrics(out / "metrics.jsonl")
            if "train" in line
        }
        assert rates[20] == pytest.approx(0.01 * (1 - 19 / 20) ** 0.9)
        assert load_checkpoint(out / "checkpoints/last.safetensors").facts["step"] == 20
        assert call(capsys, "train", "--resume", "--out", out)[0] == 0  # it is finished, and says so again

    def test_fewer_steps_and_unfinished_runs(self, run, data, tmp_path, capsys):
        out = copied(run, tmp_path / "run")
        assert "--steps must be more" in refuse(capsys, tmp_path, "train", "--resume", "--out", out, "--steps", "7")
        record = json.loads((out / "run.json").read_text())
        record["recipe"]["train"]["steps"] = 50
        (out / "run.json").write_text(json.dumps(record))
        message = refuse(capsys, tmp_path, "train", "--resume", "--out", out, "--steps", "99")
        assert "stands at step 10 of 50: finish it with --resume alone" in message

    def test_other_steps_as_a_setting_name_the_option(self, run, tmp_path, capsys):
        out = copied(run, tmp_path / "run")
        message = refuse(capsys, tmp_path, "train", "--resume", "--out", out, "--set", "train.steps=20")
        assert "To extend a finished run, give --steps" in message


class TestFrom:
    def test_begins_with_the_weights(self, run, tmp_path, capsys):
        """At a learning rate of nearly 0 one step leaves the weights where they were."""
        words = ["--set", "train.learning_rate=1e-12", "--set", "train.weight_decay=0", "--steps", "1"]
        code, _, _ = call(capsys, "train", "--from", run, "--out", tmp_path / "new", *words)
        assert code == 0
        old, new = weights(run), weights(tmp_path / "new")
        trained = [name for name in old if "running" not in name and "num_batches" not in name]
        assert all(torch.allclose(old[name], new[name], atol=1e-6) for name in trained)
        assert open_run(tmp_path / "new").record["begun_from"] == str(run.resolve())

    def test_another_method_has_the_settings_of_its_table(self, run, tmp_path, capsys):
        """Also where a setting has no effect, which is told; a run of an earlier version asks for the recipe."""
        words = ["--from", run, "--set", "method.name=fixmatch", "--set", "data.foreground_steps=1", "--steps", "1"]
        code, told, err = call(capsys, "train", *words, "--out", tmp_path / "new")
        assert code == 0, err
        assert "data.foreground_steps has no effect: data.foreground is 0" in " ".join((told + err).split())
        assert open_run(tmp_path / "new").recipe.method == load_recipe("phantom", ["method.name=fixmatch"]).method
        old = copied(run, tmp_path / "old")
        record = json.loads((old / "run.json").read_text())
        del record["methods"]
        (old / "run.json").write_text(json.dumps(record))
        words[1] = old
        assert "name the recipe too" in refuse(capsys, tmp_path, "train", *words, "--out", tmp_path / "newer")

    def test_labels_and_channels_go_by_name(self, run, tmp_path, capsys):
        """RV, MYO of one channel become MYO with a second channel: its rows and columns are those of MYO and C0."""
        data = write_dataset(tmp_path / "data", n_train=3, shape=(32, 28, 4), channels=2, classes=2)
        described = json.loads((data / "dataset.json").read_text())
        described["labels"] = {"background": 0, "MYO": 1}
        (data / "dataset.json").write_text(json.dumps(described))
        words = ["--data", data, "--out", tmp_path / "new", "--set", "train.learning_rate=1e-12", "--steps", "1"]
        code, told, _ = call(capsys, "train", "--from", run, *words)
        assert code == 0
        assert "random weights: channels C1" in " ".join(told.split())
        old, new = weights(run), weights(tmp_path / "new")
        head = next(name for name in old if name.endswith("head.weight"))
        assert torch.allclose(new[head], old[head][[0, 2]], atol=1e-6)
        first = next(name for name, value in new.items() if value.ndim == 4 and value.shape[1] == 2)
        assert torch.allclose(new[first][:, :1], old[first], atol=1e-6)

    def test_another_network_is_refused(self, run, data, tmp_path, capsys):
        words = ["train", "phantom", "--from", run, "--data", data, "--out", tmp_path / "new", *SETTINGS]
        code, _, err = call(capsys, *words, "--set", "network.width=6")
        assert code == 2
        assert "Hardly anything of the run" in " ".join(err.split())

    def test_not_together_with_resume(self, run, tmp_path, capsys):
        out = copied(run, tmp_path / "run")
        assert "give one of the two" in refuse(capsys, tmp_path, "train", "--resume", "--from", run, "--out", out)

    def test_no_run(self, data, tmp_path, capsys):
        words = ["train", "phantom", "--data", data, "--from", tmp_path / "none", "--out", tmp_path / "new"]
        assert "is no run" in refuse(capsys, tmp_path, *words)
