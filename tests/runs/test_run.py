"""A run's folder: what is recorded, what is refused, what damaged records say."""

import json
from pathlib import Path

import pytest
import torch

from crossmatch.atomic import write_json
from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.runs.machine import Machine
from crossmatch.runs.run import create_run, open_run, resume_run
from crossmatch.training.material import dataset_facts
from tiny import write_dataset
from untrained import save_untrained, small_recipe, untrained_run

CPU = torch.device("cpu")
MACHINE = Machine(CPU, "float32")
FACTS = {
    "root": "/data",
    "name": "tiny",
    "labels": {"background": 0, "RV": 1},
    "channels": ["MRI"],
    "slice_axis": 2,
    "fingerprint": "f",
    "labelled": ["a"],
    "unlabelled": 2,
    "validation": [],
}


def test_what_is_made_can_be_opened(tmp_path: Path) -> None:
    recipe = small_recipe("seed=3")
    made = create_run(tmp_path / "new" / "run", recipe, FACTS, Machine(CPU, "bf16"))
    found = open_run(tmp_path / "new" / "run")
    assert found == made
    assert (found.recipe, found.data, found.classes) == (recipe, FACTS, 2)
    assert found.record["device"]["precision"] == "bf16"
    assert found.checkpoint("best") == found.folder / "checkpoints" / "best.safetensors"
    assert found.checkpoint("a/b.safetensors") == Path("a/b.safetensors")
    network = found.build_network()
    assert (network.in_channels, network.classes, network.dims) == (1, 2, 2)


def test_data_is_recorded_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_dataset(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    facts = dataset_facts(
        open_dataset("tiny"), load_fingerprint(open_dataset("tiny")), ["case_001"], ["case_002", "case_003"]
    )
    assert facts["root"] == str(data.resolve())
    assert (facts["labelled"], facts["unlabelled"], facts["validation"]) == (["case_001"], 2, ["case_004"])
    assert json.loads(json.dumps(facts)) == facts


def test_an_empty_folder_may_become_a_run_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    create_run(tmp_path / "empty", small_recipe(), FACTS, MACHINE)
    create_run(tmp_path / "empty", small_recipe("seed=4"), FACTS, MACHINE)  # nothing was learned yet: start over
    assert open_run(tmp_path / "empty").recipe.seed == 4
    (tmp_path / "empty" / "checkpoints").mkdir()
    with pytest.raises(UserError, match=r"empty holds a run already: .*--resume"):
        create_run(tmp_path / "empty", small_recipe(), FACTS, MACHINE)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UserError, match="file exists and is not a run: choose another --out"):
        create_run(tmp_path / "file", small_recipe(), FACTS, MACHINE)
    assert (tmp_path / "file").read_text() == "precious"


def test_resume_names_every_difference(tmp_path: Path) -> None:
    create_run(tmp_path / "run", small_recipe(), FACTS, MACHINE)
    moved = {**FACTS, "root": "/elsewhere", "name": "renamed"}
    assert resume_run(tmp_path / "run", small_recipe(), moved, MACHINE).data["root"] == "/data"
    with pytest.raises(UserError) as caught:
        resume_run(tmp_path / "run", small_recipe("seed=9", "train.steps=7"), {**moved, "fingerprint": "g"}, MACHINE)
    for part in ("data.fingerprint was 'f', now 'g'", "recipe.seed was 0, now 9", "recipe.train.steps was 3, now 7"):
        assert part in str(caught.value)
    assert "data.root" not in str(caught.value)
    with pytest.raises(UserError, match=r"no run .*none to resume: leave --resume out"):
        resume_run(tmp_path / "none", small_recipe(), FACTS, MACHINE)


def test_a_run_does_not_go_on_with_another_version_of_its_method(tmp_path: Path) -> None:
    create_run(tmp_path / "run", small_recipe(), FACTS, MACHINE)
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    record["code"]["method_version"] += 1
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"begun with version 2 of the method \w+\. Version 1 computes something else"):
        resume_run(tmp_path / "run", small_recipe(), FACTS, MACHINE)
    del record["code"]["method_version"]  # runs from before there were versions
    path.write_text(json.dumps(record))
    assert resume_run(tmp_path / "run", small_recipe(), FACTS, MACHINE).folder == tmp_path / "run"


def test_added_test_cases_do_not_stop_a_resume(tmp_path: Path) -> None:
    create_run(tmp_path / "run", small_recipe(), {**FACTS, "learned_from": "a"}, MACHINE)
    resume_run(tmp_path / "run", small_recipe(), {**FACTS, "learned_from": "a", "fingerprint": "g"}, MACHINE)
    with pytest.raises(UserError, match=r"data\.fingerprint was 'f', now 'g'\. Cases"):
        resume_run(tmp_path / "run", small_recipe(), {**FACTS, "learned_from": "b", "fingerprint": "g"}, MACHINE)


def test_a_run_that_recorded_less_goes_on(tmp_path: Path) -> None:
    """Of earlier versions, which knew no sizes of scans and no names of unlabelled cases; and of one with a past."""
    before = {**FACTS, "seen": {"spacing_mm": None, "grey_values": []}, "labelled_before": ["b"]}
    create_run(tmp_path / "run", small_recipe(), before, MACHINE)
    seen = {"spacing_mm": None, "grey_values": [], "size": [[16, 14, 4], [16, 14, 4]]}
    now = {**FACTS, "seen": seen, "unlabelled_cases": ["c", "d"]}
    assert resume_run(tmp_path / "run", small_recipe(), now, MACHINE).data["labelled_before"] == ["b"]


def test_damaged_records(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run: it has no run\.json"):
        open_run(tmp_path)
    recipe = small_recipe().model_dump(mode="json")
    for content in (
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{}",
        *(
            json.dumps(r).encode()
            for r in (
                {"recipe": recipe},
                {"recipe": recipe, "data": None},
                {"recipe": recipe, "data": {"labels": {}}},
            )
        ),
    ):
        (tmp_path / "run.json").write_bytes(content)
        with pytest.raises(UserError, match=r"run\.json is damaged"):
            open_run(tmp_path)
    create_run(tmp_path / "run", small_recipe(), FACTS, Machine(CPU, "bf16"))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**record, "recipe": {"steps": 3}}))
    with pytest.raises(UserError, match=r"In .*run\.json: unknown key steps; valid keys"):
        open_run(tmp_path)


def test_the_network_comes_in_eval_mode_with_the_weights_asked_for(tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "run", write_dataset(tmp_path / "data"))
    save_untrained(run, "best", seed=1)
    (last, facts), (best, _) = (run.load_network(name) for name in ("last", "best"))
    assert not last.training
    assert facts.facts["step"] == 3
    assert not torch.equal(last.get_parameter("head.weight"), best.get_parameter("head.weight"))


def test_json_is_written_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("threads", "now", "told"), [(4, 4, False), (4, 2, True), (None, 2, False)])
def test_another_number_of_threads_is_said(threads, now, told, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: now)
    machine = Machine(CPU, "bf16")
    record = {key: value for key, value in machine.record().items() if key != "threads"}
    remark = machine.remark({**record, **({} if threads is None else {"threads": threads})})
    assert ("4 CPU threads and goes on with 2" in remark) if told else remark is None
