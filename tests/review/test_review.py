"""The list of cases, what is remembered, and everything that can be wrong when the page is started."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from reviewable import predicted, untrained_run
from served import asked, desk_of, served

from command import call
from crossmatch import review as package
from crossmatch.atomic import file_sha256
from crossmatch.errors import UserError
from crossmatch.inference.origin import file_state, weights_digest
from crossmatch.inference.ranking import Ranked, unread_files, write_ranking
from crossmatch.review import review
from crossmatch.review.case_list import Wish, neighbours, page_of
from crossmatch.review.decisions import Decision, Decisions
from crossmatch.review.desk import ChangedError, Desk
from crossmatch.review.found_masks import FoundMask
from crossmatch.review.shown_cases import ReviewCase
from crossmatch.runs.checkpoint import load_checkpoint, load_facts, save_checkpoint
from crossmatch.runs.run import open_run
from tiny import write_dataset, write_nifti
from tiny_dicom import write_series
from untrained import save_untrained

CLASSES = ["RV", "MYO"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", n_train=5, unlabelled=4)


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Path:
    run = untrained_run(tmp_path / "run", data).folder
    predicted(run, data, {"case_002": 0.9, "case_003": 0.4, "case_004": 0.2, "case_006": 0.6})
    return run


def names(desk: Desk, **wish: object) -> list[str]:
    return [row["name"] for row in page_of(desk.gathered.cases.values(), desk.decisions, Wish(**wish), CLASSES)["rows"]]


def test_worst_first(run, data) -> None:
    """Outside of the training data, then by the estimate, then what has none."""
    desk = desk_of(run, data)
    assert names(desk) == ["case_004", "case_003", "case_006", "case_002", "case_005"]
    assert names(desk, down=True) == ["case_005", "case_002", "case_006", "case_003", "case_004"]
    assert "case_001" not in names(desk)  # the run learned from it
    assert "case_007" not in names(desk)  # a test case


def test_columns_and_filters(run, data) -> None:
    desk = desk_of(run, data)
    assert names(desk, sort="name") == ["case_002", "case_003", "case_004", "case_005", "case_006"]
    assert names(desk, sort="class:RV") == ["case_004", "case_003", "case_006", "case_002", "case_005"]
    assert names(desk, sort="class:RV", down=True) == ["case_002", "case_006", "case_003", "case_004", "case_005"]
    assert names(desk, sort="kind")[-1] == "case_006"
    assert names(desk, kind="validation") == ["case_006"]
    assert names(desk, text="_00", kind="unlabelled", flagged=True) == ["case_004"]
    desk.decide("unlabelled:case_003", "rejected", desk.version(desk.case("unlabelled:case_003")))
    assert names(desk, state="rejected") == ["case_003"]
    assert "case_003" not in names(desk, state="open")
    with served(desk) as server:
        assert asked(server, "cases", sort="nothing")[0] == 422
        assert asked(server, "cases", page="-1; drop")[1]["page"] == 0
        assert asked(server, "cases", page="99")[1]["page"] == 0
    around = neighbours(desk.gathered.cases.values(), desk.decisions, Wish(), "unlabelled:case_003")
    assert around == {
        "previous": "unlabelled:case_004",
        "next": "validation:case_006",
        "place": 2,
        "found": 5,
    }


def test_the_scans_to_label_next_stand_in_their_order(run, data) -> None:
    assert {row["next"] for row in asked_rows(run, data)} == {None}
    scans = [run_data(data, name) for name in ("case_003", "case_005")]
    write_ranking(run, open_run(run), "last", digest(run), [ranked(path) for path in scans])
    desk = desk_of(run, data)
    assert not desk.gathered.notes
    assert names(desk, sort="next")[:2] == ["case_003", "case_005"]
    assert names(desk, sort="next", down=True)[:2] == ["case_005", "case_003"]
    with served(desk) as server:
        assert asked(server, "run")[1]["ranked"] == 2
    (run / "rank.json").write_text("{}")
    with pytest.raises(UserError, match="crossmatch rank"):
        desk_of(run, data)


def test_an_order_of_earlier_weights_is_not_shown(run, data) -> None:
    """The run went on since; `best`, which it was ranked with, stayed."""
    opened, scans = open_run(run), [ranked(run_data(data, "case_003"))]
    save_untrained(opened, "best", seed=1)
    write_ranking(run, opened, "best", digest(run, "best"), scans)
    save_untrained(opened, "last", seed=2)
    assert desk_of(run, data).case("unlabelled:case_003").label_next == 1
    write_ranking(run, opened, "last", digest(run), scans)
    assert desk_of(run, data).case("unlabelled:case_003").label_next == 1
    save_untrained(opened, "last", seed=3)
    desk = desk_of(run, data)
    assert desk.case("unlabelled:case_003").label_next is None
    masks, note = desk.gathered.notes
    assert "were made with other weights of step 3 than the last weights" in masks
    assert note.endswith(f"were chosen with earlier weights, so they are not shown. Rank again: crossmatch rank {run}")


def test_an_order_of_unknown_weights_is_shown_and_told(run, data) -> None:
    """Of a rank.json of an earlier version, and where the checkpoint is gone."""
    write_ranking(run, open_run(run), "last", digest(run), [ranked(run_data(data, "case_003"))])
    stored = json.loads((run / "rank.json").read_text())
    (run / "checkpoints" / "last.safetensors").unlink()
    for keys, why in ((set(stored), "weights that are gone"), ({"run", "next"}, "not say with which weights")):
        (run / "rank.json").write_text(json.dumps({key: stored[key] for key in keys}))
        desk = desk_of(run, data)
        assert desk.case("unlabelled:case_003").label_next == 1
        assert [why in note for note in desk.gathered.notes] == [True]


def test_masks_of_earlier_weights_are_shown_and_told(run, data) -> None:
    """The run went on since. Of a checkpoint that is gone, or a file that the user chose, that says nothing."""
    opened, place = open_run(run), run / "unlabelled" / "prediction.json"
    last, stored = opened.checkpoint("last"), json.loads(place.read_text())
    save_untrained(opened, "last", seed=7)
    save_checkpoint(last, replace(load_checkpoint(last), facts={**load_facts(last), "step": 600}))
    desk = desk_of(run, data)
    assert desk.case("unlabelled:case_003").mask is not None
    (note,) = desk.gathered.notes
    assert f"were made at step 3, and the last weights of {run} are of step 600 by now" in note
    earlier = {key: value for key, value in stored.items() if key != "weights_sha256"}  # of an earlier version
    place.write_text(json.dumps(earlier))
    assert len(desk_of(run, data).gathered.notes) == 1
    for silent in (
        {**earlier, "step": 600},
        {**stored, "checkpoint": "step_3.safetensors"},
        {**stored, "checkpoint": "best"},
    ):
        place.write_text(json.dumps(silent))
        assert not desk_of(run, data).gathered.notes
    place.write_text(json.dumps(stored))
    for damaged in (lambda: last.write_bytes(b"damaged"), last.unlink):
        damaged()
        desk = desk_of(run, data)
        assert desk.case("unlabelled:case_003").mask is not None
        assert not desk.gathered.notes


def test_masks_are_of_weights_and_not_of_names(run, data, tmp_path) -> None:
    """The run's folder was renamed, or trained anew, or the masks are those of another run."""
    other = untrained_run(tmp_path / "other", data, seed=5)
    renamed = run.rename(tmp_path / "renamed")
    assert not desk_of(renamed, data).gathered.notes
    desk = desk_of(other.folder, data, masks=(renamed / "unlabelled",))
    assert desk.case("unlabelled:case_003").mask is not None
    (note,) = desk.gathered.notes
    told = "were made by run at step 3, with other weights than the last weights of"
    assert f"{told} {other.folder} (of step 3)" in note
    save_untrained(open_run(renamed), "last", seed=9)
    (note,) = desk_of(renamed, data).gathered.notes
    assert f"{told} {renamed} (of step 3)" in note
    anew = renamed.rename(run)
    (note,) = desk_of(anew, data).gathered.notes
    assert f"were made with other weights of step 3 than the last weights of {anew}" in note
    place = anew / "unlabelled" / "prediction.json"
    members = [{"weights_sha256": digest(one)} for one in (other.folder, anew)]
    place.write_text(json.dumps({**json.loads(place.read_text()), "run": "other + run", "members": members}))
    assert not desk_of(anew, data).gathered.notes  # masks that it made together with another


def digest(run: Path, checkpoint: str = "last") -> str:
    return weights_digest(open_run(run).load_network(checkpoint)[1].network)


def asked_rows(run, data) -> list[dict]:
    with served(desk_of(run, data)) as server:
        assert asked(server, "run")[1]["ranked"] == 0
        return asked(server, "cases")[1]["rows"]


def run_data(data: Path, name: str) -> Path:
    return data / "imagesTr" / f"{name}_0000.nii.gz"


def ranked(path: Path) -> Ranked:
    return Ranked(path.name, path.name, (str(path),), 0.5, 0.4, 0.6, 0.5, 1, None, "It is new.", ())


def test_a_replaced_scan_has_neither_its_old_mask_nor_its_old_place(run, data) -> None:
    """It was written again after it was predicted and ranked; before the page was opened."""
    scans = [run_data(data, name) for name in ("case_003", "case_005")]
    write_ranking(run, open_run(run), "last", digest(run), [ranked(path) for path in scans])
    for path in (*scans, run_data(data, "case_002")):
        os.utime(path)  # the same scan
    assert not desk_of(run, data).gathered.notes
    voxels = np.random.default_rng(9).integers(0, 99, (16, 14, 4)).astype(np.int16)
    write_nifti(scans[0], voxels)
    with served(desk_of(run, data)) as server:
        rows = {row["name"]: row for row in asked(server, "cases")[1]["rows"]}
        facts = asked(server, "run")[1]
        flagged = [row["name"] for row in asked(server, "cases", flagged=1)[1]["rows"]]
        case = asked(server, "case", id="unlabelled:case_003")[1]
    assert {name: row["next"] for name, row in rows.items() if row["next"]} == {"case_005": 1}
    assert {name for name, row in rows.items() if row["mask"]} == {"case_002", "case_004", "case_006"}
    assert (rows["case_003"]["mean"], rows["case_002"]["mean"]) == (None, 0.9)
    assert "made from another scan, or before this one was written again" in rows["case_003"]["flags"][0]
    assert (case["flags"], case["prediction"]) == (rows["case_003"]["flags"], False)
    assert flagged == ["case_004", "case_003"]
    assert facts["without"]["predicted"] == 2
    order, masks = facts["notes"]
    assert f"not shown: {scans[0].name}. Rank again: crossmatch rank {run}" in order
    assert "so they are not shown: case_003. Predict these cases" in masks


def test_a_scan_that_is_replaced_while_it_is_ranked_has_no_place(run, data) -> None:
    path = run_data(data, "case_003")
    before = unread_files([path])
    write_nifti(path, np.random.default_rng(9).integers(0, 99, (16, 14, 4)).astype(np.int16))
    write_ranking(run, open_run(run), "last", digest(run), [ranked(path)], {path.name: before})
    assert desk_of(run, data).case("unlabelled:case_003").label_next is None


def test_a_row_has_estimates_flags_and_state(run, data) -> None:
    with served(desk_of(run, data)) as server:
        rows = {row["name"]: row for row in asked(server, "cases")[1]["rows"]}
        status, picture = asked(server, "thumbnail", id="unlabelled:case_002")
    assert rows["case_002"]["classes"] == [0.9, 0.9]
    assert (rows["case_002"]["low"], rows["case_002"]["high"]) == (0.8, 1.0)
    assert rows["case_004"]["outside"]
    assert rows["case_004"]["flags"] == ["The voxel size is far from that of the training."]
    assert rows["case_005"]["mean"] is None
    assert not rows["case_005"]["mask"]
    assert status == 200
    assert picture.startswith(b"<svg")
    assert picture.count(b"<path") == 1  # the slice where most was found has one class


def test_many_cases_stay_quick(run, data) -> None:
    """30,000 rows: a page of them is small and comes at once, whatever the order."""
    desk = desk_of(run, data)
    mask = desk.case("unlabelled:case_002").mask
    image = desk.case("unlabelled:case_002").images
    rng = np.random.default_rng(0)

    def found(value: float) -> FoundMask:
        return FoundMask(**{**vars(mask), "quality": {**mask.quality, "dice": value}})

    many = {
        f"unlabelled:slice_{n:05d}": ReviewCase(
            f"unlabelled:slice_{n:05d}", f"slice_{n:05d}", "unlabelled", image, None, found(float(rng.random()))
        )
        for n in range(30_000)
    }
    object.__setattr__(desk.gathered, "cases", many)
    with served(desk) as server:
        for sort in ("worst", "name", "class:MYO"):
            start = time.process_time()
            status, answer = asked(server, "cases", sort=sort, page=600, text="slice")
            assert time.process_time() - start < 1.5
            assert status == 200
            assert (answer["found"], answer["pages"], len(answer["rows"])) == (30_000, 1200, 25)
            assert len(json.dumps(answer)) < 20_000
        start = time.process_time()
        asked(server, "case", id="unlabelled:slice_12345")
        asked(server, "run")
        assert time.process_time() - start < 2


def test_a_folder_of_many_files_is_found_quickly(tmp_path) -> None:
    data = write_dataset(tmp_path / "data", n_train=2, unlabelled=1, n_val=0, n_test=0, shape=(8, 8))
    run = untrained_run(tmp_path / "run", data).folder
    target = predicted(run, data, {"case_002": 0.5})
    record = json.loads((target / "prediction.json").read_text())
    for n in range(2000):
        os.link(data / "imagesTr" / "case_002_0000.nii.gz", data / "imagesTr" / f"more{n}_0000.nii.gz")
        os.link(target / "case_002.nii.gz", target / f"more{n}.nii.gz")
        source = record["scans"]["case_002"][0]
        record["scans"][f"more{n}"] = [{**source, "path": source["path"].replace("case_002", f"more{n}")}]
    (target / "prediction.json").write_text(json.dumps(record))
    (data / "splits" / "train.txt").unlink()
    start = time.process_time()
    desk = desk_of(run, data)
    assert time.process_time() - start < 3
    assert len(desk.gathered.cases) == 2001
    assert all(case.mask for case in desk.gathered.cases.values())


def test_decisions_outlive_the_page_and_a_cut_line(run, data) -> None:
    desk = desk_of(run, data)
    ident = "unlabelled:case_003"
    desk.decide(ident, "rejected", desk.version(desk.case(ident)))
    path = run / "review" / "decisions.jsonl"
    with path.open("ab") as file:
        file.write(b'{"id": "unlabelled:case_0')  # killed while it wrote
    again = Decisions(run)
    assert again.state(ident) == "rejected"
    again.add(Decision(id=ident, state="open", when="2026-01-01T00:00:00+00:00", who="anna"))
    assert Decisions(run).state(ident) == "open"
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    with pytest.raises(UserError, match="line 1, is damaged"):
        Decisions(run)


def test_two_windows_on_one_page(run, data) -> None:
    """What one decided is not overwritten by the other without asking."""
    desk = desk_of(run, data)
    ident = "unlabelled:case_003"
    with served(desk) as server:
        first, second = (asked(server, "case", id=ident)[1] for _ in range(2))
        assert asked(server, "reject", body=b"", id=ident, version=first["version"])[0] == 200
        status, answer = asked(server, "reject", body=b"", id=ident, version=second["version"])
        assert status == 409
        assert "It is rejected since" in answer["error"]
        assert answer["ask"]
        assert asked(server, "reopen", body=b"", id=ident, version=answer["version"])[0] == 200
    assert desk.decisions.state(ident) == "open"
    with pytest.raises(ChangedError):
        desk.decide(ident, "rejected", first["version"])


def test_two_pages_on_one_run(run, data) -> None:
    lines: list[str] = []
    with served_by_review(run, lines), pytest.raises(UserError, match=r"Another page is open on this run \(process"):
        review(run, browser=False, say=lines.append)


def test_the_page_ends_with_its_button_and_says_how_to_go_on(run, data) -> None:
    lines: list[str] = []
    with served_by_review(run, lines) as ask:
        ident = "unlabelled:case_003"
        facts = ask("case", id=ident)
        body = bytes(int(np.prod(facts["shape"])))
        ask("accept", body=body, id=ident, version=facts["version"])
    assert lines[0].startswith("Review: http://127.0.0.1:")
    assert lines[-2].startswith("1 of 5 cases accepted, 1 of them with corrections.")
    assert (
        lines[-1]
        == f"Train on: crossmatch train --from {run} --set data.labelled=1_reviewed --out {run.with_name('run_2')}"
    )
    assert not (run / "review" / ".writer").exists()


@contextmanager
def served_by_review(run: Path, lines: list[str]):
    """`review` in a thread, until its button is pressed when the block ends."""
    thread = threading.Thread(target=review, args=(run,), kwargs={"browser": False, "say": lines.append}, daemon=True)
    thread.start()
    while thread.is_alive() and not lines:
        time.sleep(0.01)
    address = lines[0].removeprefix("Review: ")
    server = SimpleNamespace(address=address, server_port=urlsplit(address).port)

    def ask(name: str, **query: object):
        status, answer = asked(server, name, **query)
        assert status == 200, answer
        return answer

    yield ask
    ask("end", body=b"")
    thread.join(timeout=20)
    assert not thread.is_alive()


def test_a_case_that_vanishes(run, data) -> None:
    with served(desk_of(run, data)) as server:
        assert asked(server, "case", id="unlabelled:case_002")[0] == 200
        (data / "imagesTr" / "case_002_0000.nii.gz").unlink()
        status, answer = asked(server, "case", id="unlabelled:case_002")
        assert status == 422
        assert "case_002_0000.nii.gz does not exist" in answer["error"]
        assert asked(server, "case", id="unlabelled:case_003")[0] == 200
        (run / "unlabelled" / "case_003.nii.gz").write_bytes(b"cut")
        told = asked(server, "case", id="unlabelled:case_003")[1]
        assert not told["prediction"]
        assert "cannot be read" in " ".join(told["flags"])
        status, answer = asked(server, "refresh", body=b"")
        assert status == 422
        assert "case_002" in answer["error"]  # which train.txt still names; the list stays as it was
        (data / "splits" / "train.txt").unlink()
        assert asked(server, "refresh", body=b"")[0] == 200
        assert "load the list again" in asked(server, "case", id="unlabelled:case_002")[1]["error"]


def test_a_scan_that_was_written_again_is_flagged(run, data) -> None:
    desk = desk_of(run, data)
    write_nifti(data / "imagesTr" / "case_003_0000.nii.gz", np.arange(16 * 14 * 4, dtype=np.int16).reshape(16, 14, 4))
    with served(desk) as server:
        assert "written again since" in " ".join(asked(server, "case", id="unlabelled:case_003")[1]["flags"])


def test_a_mask_that_predict_did_not_write_so_is_flagged(run, data) -> None:
    origin = run / "unlabelled" / "prediction.json"
    mask = origin.parent / "case_003.nii.gz"
    facts = json.loads(origin.read_text()) | {"masks": {"case_003": file_state(origin.parent, mask)}}
    origin.write_text(json.dumps(facts))
    (origin.parent / "quality.json").unlink()  # which knows the mask too
    with served(desk_of(run, data)) as server:
        assert "changed" not in " ".join(asked(server, "case", id="unlabelled:case_003")[1]["flags"])
        write_nifti(mask, np.zeros((16, 14, 4), np.uint8))
        assert "not what the network made" in " ".join(asked(server, "case", id="unlabelled:case_003")[1]["flags"])


def test_a_second_channel_that_was_written_again_is_flagged(tmp_path) -> None:
    data = write_dataset(tmp_path / "data", n_train=2, channels=2, unlabelled=1)
    run = untrained_run(tmp_path / "run", data).folder
    origin = predicted(run, data, {"case_002": 0.8}) / "prediction.json"
    first, second = (data / "imagesTr" / f"case_002_000{channel}.nii.gz" for channel in range(2))
    facts = json.loads(origin.read_text())
    (known,) = facts["scans"]["case_002"]
    stat = second.stat()
    state = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns, "sha256": None}
    facts["scans"]["case_002"].append({**state, "path": known["path"].replace(first.name, second.name)})
    origin.write_text(json.dumps(facts))
    (origin.parent / "quality.json").unlink()  # which knows the first file alone
    with served(desk_of(run, data)) as server:
        assert "written again" not in " ".join(asked(server, "case", id="unlabelled:case_002")[1]["flags"])
        write_nifti(second, np.arange(16 * 14 * 4, dtype=np.int16).reshape(16, 14, 4))
        assert "written again since" in " ".join(asked(server, "case", id="unlabelled:case_002")[1]["flags"])


def test_data_that_were_moved(run, data, tmp_path) -> None:
    moved = data.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"lay in .*data, and do not any more: say where with --data"):
        review(run, browser=False)
    desk = desk_of(run, moved)
    assert desk.case("unlabelled:case_003").mask is not None  # found by name and digest
    write_nifti(run_data(moved, "case_003"), np.arange(16 * 14 * 4, dtype=np.int16).reshape(16, 14, 4))
    with served(desk) as server:
        assert "written again since" in " ".join(asked(server, "case", id="unlabelled:case_003")[1]["flags"])


def test_a_mask_of_another_scan_of_the_same_name_and_size_is_not_shown(tmp_path) -> None:
    """Its scan is gone, so nothing but the digest tells them apart."""
    data = write_dataset(tmp_path / "data", n_train=2, unlabelled=1, n_val=0, n_test=0, ending=".nii")
    run = untrained_run(tmp_path / "run", data).folder
    origin = predicted(run, data, {"case_002": 0.8}) / "prediction.json"
    facts = json.loads(origin.read_text())
    (scan,) = facts["scans"]["case_002"]
    scan["path"] = "../../deleted/case_002_0000.nii"
    (origin.parent / "quality.json").unlink()  # which knows the digest of the dataset's scan
    for digest, shown in ((scan["sha256"], True), ("ab" * 32, False), (None, False)):  # none: of a killed prediction
        scan["sha256"] = digest
        origin.write_text(json.dumps(facts))
        desk = desk_of(run, data)
        assert (desk.case("unlabelled:case_002").mask is not None) == shown
        told = "made from other scans, or do not say from which, so they are not shown: case_002"
        assert [told in note for note in desk.gathered.notes] == [True] * (not shown)


def test_a_mask_is_of_all_channels_of_its_scan(tmp_path) -> None:
    data = write_dataset(tmp_path / "data", n_train=2, channels=2, unlabelled=1, ending=".nii")
    run = untrained_run(tmp_path / "run", data).folder
    origin = predicted(run, data, {"case_002": 0.8}) / "prediction.json"
    facts, (first, second) = json.loads(origin.read_text()), sorted((data / "imagesTr").glob("case_002_*"))
    known = facts["scans"]["case_002"]
    known.append({**known[0], "path": known[0]["path"].replace(first.name, second.name), "sha256": file_sha256(second)})
    origin.write_text(json.dumps(facts))
    moved = data.rename(tmp_path / "moved")
    assert desk_of(run, moved).case("unlabelled:case_002").mask is not None
    write_nifti(moved / "imagesTr" / second.name, np.arange(16 * 14 * 4, dtype=np.int16).reshape(16, 14, 4))
    assert desk_of(run, moved).case("unlabelled:case_002").mask is None


def test_a_dicom_series_has_its_mask_and_is_no_new_scan(tmp_path) -> None:
    data = write_dataset(tmp_path / "data", n_train=2, unlabelled=1, n_val=0, n_test=1)
    run, masks = untrained_run(tmp_path / "run", data).folder, tmp_path / "run" / "unlabelled"
    scans = {}
    for name, folder in (("case_002", "imagesTr"), ("case_003", "imagesTs")):  # the second is a test case
        (data / folder / f"{name}_0000.nii.gz").unlink()
        series = write_series(data / folder / f"{name}_0000", np.zeros((16, 14, 4), np.int16))
        state = {"mtime_ns": 1, "ctime_ns": 1}
        scans[name] = [
            {**state, "path": os.path.relpath(each, masks), "size": each.stat().st_size, "sha256": file_sha256(each)}
            for each in series
        ]
        write_nifti(masks / f"{name}.nii.gz", np.zeros((16, 14, 4), np.uint8))
    (masks / "prediction.json").write_text(json.dumps({"run": "run", "scans": scans}))
    assert [(name, case.mask is not None) for name, case in desk_of(run, data).gathered.cases.items()] == [
        ("unlabelled:case_002", True)
    ]
    moved = data.rename(tmp_path / "moved")
    assert desk_of(run, moved).case("unlabelled:case_002").mask is not None


def test_a_run_without_a_checkpoint(tmp_path, data) -> None:
    run = untrained_run(tmp_path / "bare", data).folder
    (run / "checkpoints" / "last.safetensors").unlink()
    with pytest.raises(UserError, match="no checkpoint and no predictions"):
        review(run, browser=False)
    predicted(run, data, {"case_002": 0.9})
    desk = desk_of(run, data)
    assert not desk.predicting.possible
    assert names(desk)[0] == "case_002"


def test_nothing_to_review(tmp_path) -> None:
    data = write_dataset(tmp_path / "data", n_train=1, n_val=0)
    run = untrained_run(tmp_path / "run", data).folder
    with pytest.raises(UserError, match="has no unlabelled and no validation case"):
        review(run, browser=False)


def test_data_that_number_or_name_their_labels_otherwise_are_refused(run, data, capsys) -> None:
    """Nothing is shown, so that no mask can be accepted as a label of another class."""
    path = data / "dataset.json"
    stated = json.loads(path.read_text())
    desk = desk_of(run, data)
    others = ({"background": 0, "MYO": 1, "RV": 2}, {"background": 0, "RV": 1, "wall": 2}, {"background": 0, "RV": 1})
    for labels in others:
        path.write_text(json.dumps({**stated, "labels": labels}))
        with pytest.raises(UserError, match=r"learned 0 background, 1 RV, 2 MYO: .* labels of other classes"):
            desk_of(run, data)
        with pytest.raises(UserError, match="labels of other classes"):
            desk.refresh()
    code, _, error = call(capsys, "review", run, "--no-browser")
    assert code == 2
    assert "with --data" in error
    assert f"crossmatch train --from {run} --data {data} --out" in " ".join(error.split())
    path.write_text(json.dumps({**stated, "labels": {"0": "background", "1": "RV", "2": "MYO", "3": "ignore"}}))
    assert names(desk_of(run, data))  # the same labels in the older spelling, and voxels that count nowhere


def test_masks_of_a_run_with_other_labels_are_not_shown(run, data) -> None:
    origin = run / "unlabelled" / "prediction.json"
    facts = json.loads(origin.read_text())
    for labels, shown in ((dict(open_run(run).data["labels"]), True), ({"background": 0, "MYO": 1, "RV": 2}, False)):
        origin.write_text(json.dumps({**facts, "data": {"labels": labels}}))
        desk = desk_of(run, data)
        assert (desk.case("unlabelled:case_003").mask is not None) == shown
        assert any("are of a run with other labels" in note for note in desk.gathered.notes) != shown


def test_no_browser_there(run, monkeypatch) -> None:
    lines: list[str] = []

    def ended(self, poll_interval):
        raise KeyboardInterrupt

    monkeypatch.setattr(package.webbrowser, "open", lambda address: False)
    monkeypatch.setattr("crossmatch.review.web_server.ReviewServer.serve_forever", ended)
    review(run, say=lines.append)
    assert lines[1] == "No browser could be opened: open this address in one on this machine."
    opened: list[str] = []
    monkeypatch.setattr(package.webbrowser, "open", lambda address: opened.append(address) or True)
    review(run, say=lines.append)
    assert opened[0].startswith("http://127.0.0.1:")


def test_the_command_in_words(run, tmp_path, capsys) -> None:
    code, _, error = call(capsys, "review", tmp_path / "nowhere")
    assert code == 2
    assert "is no run" in error
    code, _, error = call(capsys, "review", run, "--scans", tmp_path / "nowhere")
    assert code == 2
    assert "is no folder" in error
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, error = call(capsys, "review", run, "--masks", run / "checkpoints", "--port", port, "--no-browser")
    assert code == 2
    assert f"Port {port} cannot be used" in error


@pytest.mark.slow
def test_the_command_prints_the_address_and_ends_with_ctrl_c(run) -> None:
    command = [sys.executable, "-m", "crossmatch", "review", str(run), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("Review: http://127.0.0.1:")
        process.send_signal(2)
        assert "0 of 5 cases accepted" in process.communicate(timeout=60)[0]
        assert process.returncode == 0
    finally:
        process.kill()


@pytest.mark.slow
def test_predictions_that_are_missing_can_be_made(run, data) -> None:
    desk = desk_of(run, data)
    assert desk.predicting.command == f"crossmatch predict {run} {data / 'imagesTr'} {run / 'unlabelled'} --quality"
    desk.predicting.arguments[3:] = [str(run / "made"), "--quality", "--uncertainty"]
    desk.predicting.target = run / "made"
    with served(desk) as server:
        assert asked(server, "run")[1]["without"] == {"predicted": 1, "others": 0}
        asked(server, "predict", body=b"")
        while (state := asked(server, "predicting")[1])["running"]:
            time.sleep(0.1)
        assert state["failed"] is None
        assert state["made"] == 6
        asked(server, "refresh", body=b"")
        assert asked(server, "run")[1]["without"] == {"predicted": 0, "others": 0}
        facts = asked(server, "case", id="unlabelled:case_005")[1]
        assert facts["mean"] is not None  # estimated, or the agreement
        assert facts["uncertainty"]
        assert asked(server, "layer", id="unlabelled:case_005", what="uncertainty")[0] == 200
        desk.predicting.arguments[1] = str(run / "nowhere")
        asked(server, "predict", body=b"")
        while (state := asked(server, "predicting")[1])["running"]:
            time.sleep(0.1)
        assert "is no run" in state["failed"]


def test_damaged_estimates_are_told_and_the_masks_shown(run, data) -> None:
    (run / "unlabelled" / "quality.json").write_text("{")
    desk = desk_of(run, data)
    assert "quality.json is damaged" in " ".join(desk.gathered.notes)
    assert desk.case("unlabelled:case_003").mask is not None
    (run / "unlabelled" / "prediction.json").write_text("{")
    desk = desk_of(run, data)
    assert "prediction.json is damaged" in " ".join(desk.gathered.notes)
    assert desk.case("unlabelled:case_003").mask is None
