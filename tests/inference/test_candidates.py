"""Which scans can be chosen to be labelled next: none that the run knows with its label, wherever its files lie."""

import shutil
from pathlib import Path

from crossmatch.inference.candidates import candidates_of
from crossmatch.runs.run import open_run
from tiny import write_dataset
from untrained import untrained_run


def test_a_folder_of_scans_is_chosen_from_without_those_in_use(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", n_train=3, n_val=1, unlabelled=1)
    untrained_run(tmp_path / "run", data, "data.labelled=1")
    run = open_run(tmp_path / "run")
    in_use = {*run.data["labelled"], *run.data["validation"]}
    every = {path.name.removesuffix("_0000.nii.gz") for path in (data / "imagesTr").iterdir()}
    assert 0 < len(in_use) < len(every)
    copies = tmp_path / "copies"
    for path in (data / "imagesTr").iterdir():
        copies.mkdir(exist_ok=True)
        shutil.copy(path, copies / f"new_{path.name}")
    other = write_dataset(tmp_path / "other", n_train=4, n_val=0, unlabelled=4, seed=7)
    for path in (data / "imagesTr").iterdir():
        shutil.copy(path, other / "imagesTr")  # the scans in use, without their labels
    left, _ = candidates_of(run, other, lambda text: None)
    assert {one.case for one in left} == every - in_use
    for place, prefix in ((data / "imagesTr", ""), (copies, "new_")):
        told: list[str] = []
        left, labelled = candidates_of(run, place, told.append)
        assert {one.case for one in left} == {prefix + case for case in every - in_use}
        assert [one.case for one in labelled] == run.data["labelled"]
        (named,) = [text for text in told if "with labels or was validated" in text]
        assert all(prefix + case in named for case in in_use)
