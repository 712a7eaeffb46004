"""The order of a scan's channels: files are told apart by number alone, and only dataset.json says which is which."""

from collections.abc import Callable, Sequence
from pathlib import Path

from crossmatch.dataset.layout import read_description
from crossmatch.errors import UserError
from crossmatch.runs.run import Run


def check_channels_beside(folder: Path, run: Run, warn: Callable[[str], None]) -> None:
    """As `check_channels`, for a folder of scans with a dataset.json in it or beside it."""
    for root in (folder, folder.parent):
        if (root / "dataset.json").is_file():
            try:
                names = read_description(root).channels
            except UserError as error:
                warn(f"nobody knows whether the channels have the run's order: {error}")
            else:
                check_channels(root / "dataset.json", names, run, warn)
            return


def check_channels(path: Path, names: Sequence[str], run: Run, warn: Callable[[str], None]) -> None:
    """Compare the channels that a dataset.json names with those that the run's network takes.

    Args:
        path: of the dataset.json; names: of its channels, in the order of their numbers.
        warn: told of channels that have other names, which may mean the same.

    Raises:
        UserError: a channel of the run has another number there.
    """
    wanted = run.data["channels"]
    theirs, ours = ([name.casefold() for name in each] for each in (names, wanted))
    if theirs == ours:
        return
    told = f"{path} names the channels {', '.join(names)}, and the network takes {', '.join(wanted)}"
    if any(name in theirs and theirs.index(name) != number for number, name in enumerate(ours)):
        numbers = ", ".join(f"CASE_{number:04d} for {name}" for number, name in enumerate(wanted))
        raise UserError(
            f"{told}, in this order: copy the scans into a folder elsewhere, named {numbers}; or correct "
            "channel_names, if these are wrong."
        )
    if len(theirs) == len(ours):  # else the scans are refused for it
        warn(f"{told}: they are taken for the same, in this order; masks are wrong if they are not")
