"""Images of several sequences never become one channel without a word."""

from pathlib import Path

import pytest

from crossmatch.errors import UserError
from crossmatch.importers.proposal import propose_import
from crossmatch.importers.wishes import Wishes
from folder_files import label, scan


def _source(root: Path, *files: str) -> Path:
    """Images of these names, and a label beside each."""
    for file in files:
        scan(root / f"{file}.nii.gz")
        label(root / f"{file}_seg.nii.gz")
    return root


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (("a_t1", "b_t1", "c_flair"), r"flair: 1, such as c_flair\.nii\.gz; t1: 2, .* --channels t1\."),
        (("ct/a", "mr/b", "mr/c"), r"ct: 1, such as ct/a\.nii\.gz; mr: 2, .* --channels mr\."),
        (("a_t1", "b_t1", "c"), r"t1: 2, .*; none: 1, such as c\.nii\.gz.* --channels t1\."),
        (("mr_smith", "anna", "bert"), r"mr: 1, .*; none: 2, .* a word that no file has: --channels picture"),
        (("train/a_t1", "train/b_t1", "test/c_flair"), r"flair: 1, .*; t1: 2"),
    ],
)
def test_several_sequences_for_one_channel_are_refused(tmp_path: Path, files: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        propose_import(_source(tmp_path, *files), Wishes())


@pytest.mark.parametrize("files", [("a_t1", "b_t1w", "c_t1n"), ("mr_a", "mri_b"), ("a", "b"), ("a_ct", "b_ct")])
def test_words_for_one_sequence_are_one_channel(tmp_path: Path, files: tuple[str, ...]) -> None:
    assert len(propose_import(_source(tmp_path, *files), Wishes()).cases) == len(files)


def test_the_ways_out(tmp_path: Path) -> None:
    """One sequence is taken and the other files are named, or all are one channel of the user's name."""
    source = _source(tmp_path, "a_t1", "b_t1", "c_flair")
    taken = propose_import(source, Wishes(channels=("t1",)))
    assert ([case.name for case in taken.cases], taken.channels) == (["a", "b"], ("t1",))
    assert "Not used, as they are none of the channels t1: c_flair.nii.gz." in taken.remarks
    everything = propose_import(source, Wishes(channels=("picture",)))
    assert everything.channels == ("picture",)
    assert len(everything.cases) == 3
