"""Scores of other weights than a run has now, on its page and beside other runs: they are marked and explained."""

import json
import shutil

import pytest
import torch
from written_runs import log, write_predictions, write_run

from crossmatch.inference.origin import weights_digest
from crossmatch.reports import write_comparison, write_report
from crossmatch.runs.checkpoint import Checkpoint, save_checkpoint
from crossmatch.scoring.evaluate import evaluate
from page import Page
from tiny import write_dataset


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "data", n_train=3, n_val=1, n_test=4, unlabelled=1)


def weights(number: float) -> dict[str, torch.Tensor]:
    return {"layer.weight": torch.tensor([number])}


def save(run, number: float, step: int, name: str = "last") -> None:
    facts = {"step": step, "seconds": 125.0, "method": "crossmatch"}
    save_checkpoint(run / "checkpoints" / f"{name}.safetensors", Checkpoint(facts, weights(number), {}))


def made(run, number: float, step: int, checkpoint: str = "last") -> dict:
    """What prediction.json says of masks by these weights."""
    digest = weights_digest(weights(number))
    return {"run": run.name, "checkpoint": checkpoint, "step": step, "weights_sha256": digest}


def scored(run, data, facts: dict, folder: str = "test"):
    write_predictions(data, run / folder)
    (run / folder / "prediction.json").write_text(json.dumps(facts))
    evaluate(run / folder, data / "labelsTs", run / folder)


@pytest.fixture
def runs(tmp_path, data):
    """Two runs, scored with the weights that they have."""
    found = []
    for number, name in enumerate(("first", "second")):
        run = write_run(tmp_path / name, data, log())
        save(run, number, 60)
        scored(run, data, made(run, number, 60))
        found.append(run)
    return found


def tile(page: Page, title: str) -> str:
    """The text of a tile."""
    return page.source.split(f"<dt>{title}</dt>")[1].split("</div>")[0]


def test_scores_of_the_runs_own_weights_have_no_mark(runs, tmp_path):
    text = Page(write_comparison(runs, tmp_path / "both.html")).text
    assert "The masks that were scored were made" not in text
    assert "(at step" not in text
    renamed = runs[0].rename(tmp_path / "renamed")  # weights tell, not names
    assert "The masks that were scored were made" not in Page(write_report(renamed)).text


def test_scores_of_several_runs_together_are_not_those_of_one(runs, tmp_path, data):
    members = [made(run, number, 60) for number, run in enumerate(runs)]
    together = {**members[0], "run": "first + second", "weights_sha256": "ab" * 32, "members": members}
    scored(runs[0], data, together, "ens")
    page = Page(write_comparison(runs, tmp_path / "both.html"))
    assert "over 4 cases (of 2 runs together); crossmatch" in tile(page, "first")
    assert "together" not in tile(page, "second")
    told = "first: The masks that were scored were made by 2 runs together, first and second, not by first alone."
    assert told in page.text
    assert "Scored in different ways: first by the last checkpoints of 2 runs; second by its last checkpoint." in (
        page.text
    )
    assert page.row("first (of 2 runs together)")
    alone = Page(write_report(runs[0]))
    assert "Dice, ens (of 2 runs together)" in alone.text
    assert "were made by 2 runs together" in alone.text


def test_scores_from_before_a_run_went_on_are_of_their_step(runs, tmp_path):
    save(runs[0], 7, 200)
    page = Page(write_comparison(runs, tmp_path / "both.html"))
    assert "over 4 cases (at step 60); crossmatch" in tile(page, "first")
    told = "first: The masks that were scored were made at step 60, and the last weights are of step 200 by now."
    assert told in page.text
    assert "did not train for equally long" not in page.text, "both scores are of step 60"
    assert "Dice, test (at step 60)" in Page(write_report(runs[0])).text


def test_steps_are_those_of_the_scores(runs, tmp_path, data):
    shutil.rmtree(runs[0] / "test")
    save(runs[0], 7, 200)
    scored(runs[0], data, made(runs[0], 7, 200))
    text = Page(write_comparison(runs, tmp_path / "both.html")).text
    assert "They did not train for equally long: first 200 steps, second 60 steps." in text


def test_a_best_checkpoint_of_an_earlier_step_trained_as_long(runs, tmp_path, data):
    save(runs[0], 5, 40, "best")
    scored(runs[0], data, made(runs[0], 5, 40, "best"), "best")
    text = Page(write_comparison(runs, tmp_path / "both.html")).text
    assert "equally long" not in text
    assert "(at step" not in text


def test_scores_of_another_run_name_it(runs, tmp_path, data):
    shutil.rmtree(runs[0] / "test")
    shutil.copytree(runs[1] / "test", runs[0] / "test")
    page = Page(write_comparison(runs, tmp_path / "both.html"))
    assert "(of second at step 60)" in tile(page, "first")
    assert "made by the run second at step 60, not by the last weights that are here now" in page.text
    (runs[0] / "checkpoints" / "last.safetensors").unlink()  # so that nobody can compare: names tell
    assert "(of second at step 60)" in tile(Page(write_comparison(runs, tmp_path / "both.html")), "first")


def test_a_run_that_was_trained_anew_has_other_weights_of_the_same_step(runs):
    save(runs[0], 9, 60)
    text = Page(write_report(runs[0])).text
    assert "made by other weights than the last ones that are here now" in text
    assert "Dice, test (of other weights)" in text


def test_weights_of_a_file_are_named_where_the_file_is_not_in_the_run(runs, data):
    scored(runs[0], data, made(runs[0], 5, 40, "other.safetensors"), "from_file")
    assert "Dice, from_file (by other.safetensors)" in Page(write_report(runs[0])).text
    save(runs[0], 5, 40, "other")
    assert "(by other.safetensors)" not in Page(write_report(runs[0])).text
