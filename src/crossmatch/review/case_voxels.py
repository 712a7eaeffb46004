"""The voxels of one case for the browser: its image and the label maps that lie on it.

Shapes: *S is (x, y) or (x, y, z), in the axes of the image as it is stored. The browser counts x fastest. Volumes go
there as NIfTI, whose header places them; pictures as bare numbers.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.dataset.orientation import put_onto, read_label
from crossmatch.errors import UserError
from crossmatch.formats import Array, Volume
from crossmatch.review.places import Places
from crossmatch.review.shown_cases import FileState, ReviewCase
from crossmatch.runs.run import Run

_SENT = ("uint8", "int16", "uint16", "float32")  # types that the browser takes; others are sent as float32
TAILS = (0.5, 99.5)  # percentiles between which grey values are shown at first


@dataclass(frozen=True)
class OpenCase:
    """A case whose files are read."""

    case: ReviewCase
    channels: list[Volume]  # the first one's grid is that of all
    labels: dict[str, int]  # name -> value of all that a label file may hold, background too
    state: tuple[FileState | None, ...]  # of its files when they were read

    @property
    def grid(self) -> Volume:
        """The volume on whose grid labels lie."""
        return self.channels[0]

    @property
    def flat(self) -> bool:
        """Whether it is a picture of two axes."""
        return len(self.grid.shape) == 2

    def colours(self) -> bool:
        """Whether its channels are red, green and blue."""
        whole = all(channel.voxels.dtype == np.uint8 for channel in self.channels)
        return self.flat and len(self.channels) == 3 and whole

    def window(self, channel: int) -> dict[str, float]:
        """Least and largest grey value of a channel, and those between which it is shown at first."""
        voxels = self.channels[channel].voxels
        low, high = float(voxels.min()), float(voxels.max())
        first, last = (0.0, 255.0) if self.colours() else map(float, np.percentile(voxels, TAILS))
        if not first < last:
            first, last = low, high if high > low else low + 1
        return {"least": low, "largest": high, "low": first, "high": last}

    def image(self, channel: int) -> bytes:
        """The image for the browser: NIfTI of one channel; of a picture all channels one after the other."""
        if self.flat:
            chosen = self.channels if self.colours() else [self.channels[channel]]
            return b"".join(_sendable(each.voxels).tobytes(order="F") for each in chosen)
        return formats.file_bytes(_sendable(self.channels[channel].voxels), self.grid, formats.UNCOMPRESSED_ENDING)

    def image_type(self, channel: int) -> str:
        """The type of the numbers in `image`."""
        return str(_sendable(self.channels[channel].voxels[:1]).dtype)

    def sent(self, voxels: Array) -> bytes:
        """A label map, or a map of float32, for the browser."""
        return (
            voxels.tobytes(order="F")
            if self.flat
            else formats.file_bytes(voxels, self.grid, formats.UNCOMPRESSED_ENDING)
        )

    def received(self, body: bytes) -> Array:
        """Label values as the browser sends them, x fastest, uint8.

        Raises:
            UserError: another number of voxels, or values that are no labels.
        """
        shape = self.grid.shape
        if len(body) != int(np.prod(shape)):
            raise UserError(
                f"The page sent {len(body)} voxels for {self.case.name}, which has {int(np.prod(shape))}: load the "
                "page again. Nothing was written."
            )
        voxels = np.frombuffer(body, np.uint8).reshape(shape, order="F")
        if voxels.max(initial=0) > max(self.labels.values()):
            raise UserError(f"The page sent label {voxels.max()}, which dataset.json does not name. Nothing written.")
        return voxels

    def label(self, path: Path) -> Array:
        """The label values of a file on the image's grid, uint8 (*S).

        Raises:
            UserError: of reading, of another grid, or values that the dataset does not name.
        """
        voxels = read_label(path, self.grid, self.labels).voxels
        values = np.unique(voxels)
        known = np.isin(values, list(self.labels.values()))
        if not known.all():
            names = ", ".join(f"{value} {name}" for name, value in self.labels.items())
            raise UserError(f"{path} holds the value {values[~known][0]:g}, but the labels are {names}.")
        return voxels.astype(np.uint8)

    def uncertainty(self, path: Path) -> Array:
        """A map of float32 (*S) on the image's grid."""
        volume = formats.read(path)
        if not self.flat:
            volume = put_onto(self.grid, volume, path, "its scan")
        elif volume.shape != self.grid.shape:
            raise UserError(f"{path} has shape {volume.shape}, not {self.grid.shape} as its scan.")
        return volume.voxels.astype(np.float32)


def open_case(run: Run, labels: dict[str, int], case: ReviewCase, places: Places) -> OpenCase:
    """Read the image of a case of a dataset with these labels.

    Raises:
        UserError: a file is gone, damaged or outside of the folders that may be shown; channels that do not fit.
    """
    state = case.state()  # before they are read: a file that changes meanwhile is read again the next time
    volumes = formats.read_channels(places.checked(path) for path in case.images)
    if len(volumes) != len(run.data["channels"]):
        raise UserError(f"{case.images[0]} has {len(volumes)} channels, and the run {len(run.data['channels'])}.")
    first = volumes[0]
    others = [put_onto(first, one, case.images[0], "channel 0") if one.shape else one for one in volumes[1:]]
    return OpenCase(case, [first, *others], labels, state)


def _sendable(voxels: Array) -> Array:
    return voxels if voxels.dtype.name in _SENT else voxels.astype(np.float32)
