"""The settings of training data: which cases, how they are scaled, and the sizes that the network sees."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from crossmatch.batches.intensity import Normalise
from crossmatch.settings import BelowOne, Count, Fraction, NonNegative, Positive, Settings

# of sliding windows: "even", or voxels from window to window, one number an axis
Stride = Annotated[
    Annotated[Literal["even"], Tag("word")] | Annotated[tuple[Count, ...], Tag("numbers")],
    Discriminator(lambda stride: "word" if isinstance(stride, str) else "numbers"),
]


class DataSettings(Settings):
    """The training data, and how they are prepared."""

    dataset: str = ""
    """The name that dataset.json must have. Empty: any."""
    labelled: Annotated[str, Field(coerce_numbers_to_str=True)] = "all"
    """Which cases count as labelled: those of `splits/train_<labelled>_label.txt`, or `all` with labels."""
    normalise: Normalise = "minmax"
    """How grey values are scaled. To [0, 1]: by a scan's minimum and maximum, by its 0.5 and 99.5 percentiles, or
    (`colour`) by what 8 or 16 bits can hold. To mean 0 and spread 1: by a scan's voxels that are not 0 (`zscore`), or
    by the labelled foreground of all training scans (`ct`). `none` keeps values as stored."""
    sampling: Literal["resize", "patch"] = "resize"
    """Whole images resized to `size`, or random patches of `size`."""
    interpolation: Literal["nearest", "linear"] = "nearest"
    """How whole images become `size`. `nearest`: looked up among their own voxels, together with turns and rotations
    (released 2D). `linear`: resized once, when they are read, by means where an axis shrinks and linearly where it
    grows, labels by nearest neighbour. Nothing larger is kept then, which suits photographs."""
    size: tuple[Count, ...] = (256, 256)
    """Voxels of the network's input along each axis: two numbers for slices, three for volumes."""
    early_size: tuple[Count, ...] = ()
    """Size that whole images are resized to in the first part of the run, where steps are cheaper. Validation and
    prediction always have `size`. Empty: `size` in all steps."""
    early_share: BelowOne = 0.0
    """That part, as a share of the run."""
    spacing_mm: tuple[Positive, ...] = ()
    """Voxel size that scans are resampled to before patches are cut, one number an axis. Empty: as stored."""
    foreground: Fraction = 0.0
    """Share of a step's labelled slices or patches that must show a class; each class is drawn equally often."""
    foreground_steps: Annotated[int, Field(ge=0)] = 0
    """The first steps of the run, to which `foreground` is limited. 0: all steps."""
    memory_gb: NonNegative = 4.0
    """Voxels stay on the compute device up to this size. Larger data lie in a file."""

    @model_validator(mode="after")
    def _axes(self) -> "DataSettings":
        if len(self.size) not in (2, 3):
            raise ValueError(f"data.size {self.size} must have two numbers (slices) or three (volumes)")
        if self.spacing_mm and len(self.spacing_mm) != len(self.size):
            raise ValueError(f"data.spacing_mm {self.spacing_mm} must have as many numbers as data.size {self.size}")
        if self.spacing_mm and self.sampling == "resize":
            raise ValueError("data.spacing_mm has no effect where data.sampling is resize: leave it out, or use patch")
        if self.interpolation == "linear" and self.sampling == "patch":
            raise ValueError("data.interpolation has no effect where data.sampling is patch: leave it out")
        if bool(self.early_size) != bool(self.early_share):
            raise ValueError("data.early_size and data.early_share go together: set both, or leave both out")
        if self.early_size:
            self._check_early_size()
        return self

    def _check_early_size(self) -> None:
        if self.sampling != "resize" or self.interpolation != "nearest":
            raise ValueError("data.early_size is for data.sampling=resize and interpolation=nearest: leave it out")
        fits = len(self.early_size) == len(self.size)
        if not fits or any(early > late for early, late in zip(self.early_size, self.size, strict=True)):
            raise ValueError(
                f"data.early_size {self.early_size} must have as many numbers as data.size {self.size}, none larger: "
                "lower it, or turn it off with data.early_size=[] and data.early_share=0"
            )

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """All sizes that the network sees, `size` first."""
        return (self.size, self.early_size) if self.early_size else (self.size,)

    @property
    def stored_size(self) -> tuple[int, ...]:
        """The size that images have in a store; empty: their own."""
        return self.size if self.interpolation == "linear" else ()


def check_stride(stride: Stride, data: DataSettings) -> None:
    """Raise ValueError unless windows of a patch can be laid with this stride."""
    if stride == "even":
        return
    if data.sampling != "patch":
        raise ValueError("a stride has no effect where whole images are resized (data.sampling=resize): leave it out")
    if len(stride) != len(data.size) or not all(1 <= step <= n for step, n in zip(stride, data.size, strict=True)):
        raise ValueError(
            f"the stride {stride} must have {len(data.size)} numbers, each from 1 to the patch's {data.size}: above "
            "it, voxels between the windows would never be seen"
        )
