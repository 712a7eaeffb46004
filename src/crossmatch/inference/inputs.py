"""What a person points `predict` at: one image file, or a folder of them, grouped into cases."""

import re
from pathlib import Path

from crossmatch.errors import UserError
from crossmatch.formats.nifti import ENDINGS

_CHANNEL = re.compile(r"(.+)_(\d{4})")


def group_channels(source: Path, channels: int) -> dict[str, tuple[Path, ...]]:
    """Cases by name, each with one file a channel in order.

    `CASE_0000.nii.gz`, `CASE_0001.nii.gz` are the channels of CASE. Where one channel is expected, any other name is
    a case of its own.

    Args:
        source: a file (of any channel of a case), or a folder; hidden files are left out.
        channels: how many the network takes.

    Raises:
        UserError: no such place, no image there, or a case with another number of channels.
    """
    if not source.exists():
        raise UserError(f"{source} does not exist: give an image file or a folder of them.")
    folder = source if source.is_dir() else source.parent
    if source.is_file() and not source.name.endswith(ENDINGS):
        raise UserError(f"{source} is no NIfTI file by its name: use a file that ends in .nii.gz or .nii.")
    if source.is_file() and channels == 1:
        return {_split(source, 1)[0]: (source,)}
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.endswith(ENDINGS) and not path.name.startswith("."):
            case, channel = _split(path, channels)
            if source.is_file() and case != _split(source, channels)[0]:
                continue
            if channel in found.setdefault(case, {}):
                raise UserError(
                    f"{path} and {found[case][channel]} are both channel {channel} of {case}: move one away."
                )
            found[case][channel] = path
    if not found:
        raise UserError(f"{source} holds no image: put files named CASE_0000.nii.gz into it.")
    wrong = [case for case, files in found.items() if sorted(files) != list(range(channels))]
    if wrong:
        raise UserError(
            f"The network takes {channels} channels a case (CASE_0000 to CASE_{channels - 1:04d}), but "
            f"{', '.join(wrong[:5])}{', ...' if wrong[5:] else ''} in {folder} have others: add or rename files."
        )
    return {case: tuple(files[k] for k in range(channels)) for case, files in found.items()}


def _split(path: Path, channels: int) -> tuple[str, int]:
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    match = _CHANNEL.fullmatch(stem)
    if match and (channels > 1 or int(match[2]) == 0):
        return match[1], int(match[2])
    return stem, 0
