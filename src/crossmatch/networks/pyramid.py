"""What the settings of networks have in common whose levels halve the size and double the channels."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Self

from pydantic import model_validator

from crossmatch.networks import layers
from crossmatch.networks.layers import Normalisation
from crossmatch.networks.segmenter import NetworkSettings
from crossmatch.settings import Count


class PyramidSettings(NetworkSettings):
    """Width and normalisation."""

    width: Count = 16
    """Channels of the finest level. Each further level has twice as many."""
    normalisation: Normalisation = "batch"
    """Normalisation after each convolution that has an activation. `instance` has no weights. `group` has 16 groups, or
    one for each channel where there are fewer."""

    @property
    @abstractmethod
    def levels(self) -> int:
        """How many levels there are, the finest included."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level, finest first."""
        return tuple(self.width * 2**level for level in range(self.levels))

    @property
    def multiple(self) -> int:
        """Every spatial axis of an image must be a multiple of this."""
        return int(2 ** (self.levels - 1))

    @model_validator(mode="after")
    def _channels_make_groups(self) -> Self:
        if self.normalisation == "group":
            layers.group_count(self.width)  # deeper levels have a power of two times as many: they divide as well
        return self

    def check_size(self, size: Sequence[int], batch: int) -> None:
        """Also refuse a size that leaves instance normalisation one voxel at the deepest level."""
        super().check_size(size, batch)
        if self.normalisation == "instance" and all(n == self.multiple for n in size):
            raise ValueError(f"data.size {size} is too small for instance normalisation: double an axis")
