"""What a recipe is: one complete run as a frozen, checked tree of settings.

Each group of settings is defined beside the code it sets; this file puts them together. `load.py` reads recipes.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import (
    Discriminator,
    Field,
    SerializationInfo,
    Tag,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from crossmatch.batches.intensity import UNBOUNDED, Normalise
from crossmatch.batches.views import BatchSizes, ViewSettings
from crossmatch.errors import offered
from crossmatch.methods import METHODS, Method, MethodSettings
from crossmatch.methods.losses import DiceSettings
from crossmatch.methods.schedules import poly_decay
from crossmatch.networks import NETWORKS, NetworkSettings, Segmenter
from crossmatch.settings import BelowOne, Count, Fraction, NonNegative, Positive, Settings

# of sliding windows: "even", or voxels from window to window, one number an axis
Stride = Annotated[
    Annotated[Literal["even"], Tag("word")] | Annotated[tuple[Count, ...], Tag("numbers")],
    Discriminator(lambda stride: "word" if isinstance(stride, str) else "numbers"),
]
S = TypeVar("S", bound=Settings)


class Registry(NamedTuple):
    """What a recipe can choose by name."""

    classes: Mapping[str, type[Method] | type[Segmenter]]
    default: str  # where a recipe gives no name


CHOICES = {"method": Registry(METHODS, "crossmatch"), "network": Registry(NETWORKS, "unet")}


class Choice(Settings, Generic[S]):
    """A method or a network: its name, and the settings of its class. In TOML and JSON they are one table."""

    name: str
    settings: S

    @model_serializer
    def _one_table(self, info: SerializationInfo) -> dict[str, Any]:
        return {"name": self.name, **self.settings.model_dump(mode=info.mode)}


# Named here, not in the class below, so that a recipe can be pickled for the ranks of a training.
NetworkChoice = Choice[NetworkSettings]
MethodChoice = Choice[MethodSettings]


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
        return self

    @property
    def stored_size(self) -> tuple[int, ...]:
        """The size that images have in a store; empty: their own."""
        return self.size if self.interpolation == "linear" else ()


class TrainSettings(Settings):
    """The optimisation, and how often other work is done."""

    steps: Count = 30000
    """Optimiser steps of the whole run."""
    batch: BatchSizes = BatchSizes()
    """Images a step."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD (released 2D), with Nesterov momentum for methods whose released code has it; or AdamW (released 3D)."""
    learning_rate: Positive = 0.01
    """Learning rate of the first step."""
    momentum: BelowOne = 0.9
    """Momentum of SGD."""
    weight_decay: NonNegative = 1e-4
    """Weight decay."""
    poly_power: NonNegative = 0.9
    """p of the learning rate's decay, (1 - progress / poly_horizon)^p."""
    poly_horizon: Annotated[float, Field(ge=1)] = 1.0
    """When the learning rate would reach 0; 1 is the end of the run."""
    ema: BelowOne = 0.0
    """Decay of averaged weights, which are then evaluated. 0: none."""
    recalibrate: bool = False
    """Before each validation and checkpoint, a copy of the network gets batch statistics of clean weak views of
    training images. This copy is validated and kept. A network without batch normalisation stays as it is."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """`auto` is bf16 where the hardware computes in it, else float32."""
    log_every: Count = 20
    """Steps between two lines of metrics.jsonl."""
    validate_every: Count = 1000
    """Steps between two validations."""
    checkpoint_every: Count = 500
    """Steps between two checkpoints."""


class PredictSettings(Settings):
    """How masks of a scan's own size are made from the network's output."""

    resize: Literal["labels", "probabilities"] = "probabilities"
    """What is enlarged if whole images were resized: probabilities, or labels (order 0, as published for ACDC)."""
    batch: Count = 16
    """Slices or windows at a time."""
    stride: Stride = "even"
    """Stride of sliding windows: `even` (half a patch or less, with Gaussian weights), or voxels along each axis (all
    windows have the same weight)."""


class Recipe(Settings):
    """One complete run."""

    about: str = ""
    """One line for `crossmatch recipes`."""
    departures: tuple[str, ...] = ()
    """Where the recipe departs from the released code, and why."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Fixes the initial weights and everything that is drawn."""
    data: DataSettings = DataSettings()
    """What is learned from."""
    views: ViewSettings = ViewSettings()
    """How images are disturbed."""
    network: NetworkChoice = Field({}, validate_default=True)
    """The network."""
    method: MethodChoice = Field({}, validate_default=True)
    """The method."""
    dice: DiceSettings = DiceSettings()
    """The Dice loss."""
    train: TrainSettings = TrainSettings()
    """The optimisation."""
    predict: PredictSettings = PredictSettings()
    """How masks are made."""

    @field_validator(*CHOICES, mode="before")
    @classmethod
    def _choose(cls, given: object, info: ValidationInfo) -> object:
        if isinstance(given, Choice):
            return given
        if not isinstance(given, dict):
            raise ValueError("a table is needed, with a name and settings")
        known, default = CHOICES[str(info.field_name)]
        name = given.get("name", default)
        if not isinstance(name, str) or name not in known:
            own = f"(in Python, one of your own is put into {str(info.field_name).upper()}S first)"
            raise ValueError(f"no {info.field_name} {name!r}; {offered(name, known)} {own}")
        settings = known[name].Settings.model_validate({key: value for key, value in given.items() if key != "name"})
        return {"name": name, "settings": settings}

    @model_validator(mode="after")
    def _settings_fit(self) -> "Recipe":
        size = self.data.size
        self.network.settings.check_size(size, min(self.train.batch.labelled, self.train.batch.unlabelled))
        if any(axis >= len(size) for axis in self.views.weak.plane):
            raise ValueError(f"views.weak.plane {self.views.weak.plane} names an axis that data.size {size} lacks")
        check_stride(self.predict.stride, self.data)
        if self.predict.resize == "labels" and (self.data.sampling, self.data.interpolation) != ("resize", "nearest"):
            raise ValueError(
                "predict.resize=labels is for data.sampling=resize and interpolation=nearest: leave it out"
            )
        strong = self.views.strong
        if self.data.normalise in UNBOUNDED and (strong.brightness or strong.contrast):
            raise ValueError(
                "views.strong.brightness and contrast cut grey values to [0, 1]: set both to 0 (and bias and gamma "
                f"instead) where data.normalise is {self.data.normalise}"
            )
        return self

    def settings(self) -> dict[str, Any]:
        """All that decides what a run does, as plain values: without the remarks, and where voxels are kept."""
        return self.model_dump(mode="json", exclude={"about": True, "departures": True, "data": {"memory_gb"}})

    @property
    def coarse_size(self) -> tuple[int, ...]:
        """Voxels an axis of the network's coarsest feature map."""
        return tuple(n // self.network.settings.multiple for n in self.data.size)

    def learning_rate(self, progress: float) -> float:
        """The learning rate of a step from its progress in [0, 1): by the method's schedule, or else the decay."""
        train, share = self.train, self.method.settings.rate_share(progress)
        return train.learning_rate * (
            poly_decay(progress, train.poly_power, train.poly_horizon) if share is None else share
        )

    @property
    def method_class(self) -> type[Method]:
        """The class of the method."""
        return METHODS[self.method.name]

    @property
    def dims(self) -> int:
        """Spatial axes of what the network sees."""
        return len(self.data.size)


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
