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
from crossmatch.methods import METHODS, Method, MethodSettings
from crossmatch.methods.losses import DiceSettings
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
    """What is learned from, and in what form."""

    dataset: str = ""  # the name that dataset.json must have; "": any
    labelled: Annotated[str, Field(coerce_numbers_to_str=True)] = (
        "all"  # splits/train_<labelled>_label.txt, or "all" cases with a label file
    )
    # minmax, percentile: [0, 1] by each scan's own range, or its 0.5th and 99.5th percentile; colour: [0, 1] by what
    # 8 or 16 bits can hold; zscore: by the mean and spread of a scan's voxels that are not 0; ct: by those of all
    # labelled foreground, for scans with an absolute unit
    normalise: Normalise = "minmax"
    sampling: Literal["resize", "patch"] = "resize"  # whole images resized to `size`, or random patches of `size`
    size: tuple[Count, ...] = (256, 256)  # two numbers: slices; three: volumes
    spacing_mm: tuple[Positive, ...] = ()  # scans are resampled to this before patches are cut; (): as stored
    # Of the labelled images of a step, the share that is made to show a class, every class equally often. Such an image
    # is a slice with the class or a patch around a voxel of it.
    foreground: Fraction = 0.0
    memory_gb: NonNegative = 4.0  # voxels stay on the compute device up to this, else on disk

    @model_validator(mode="after")
    def _axes(self) -> "DataSettings":
        if len(self.size) not in (2, 3):
            raise ValueError(f"data.size {self.size} must have two numbers (slices) or three (volumes)")
        if self.spacing_mm and len(self.spacing_mm) != len(self.size):
            raise ValueError(f"data.spacing_mm {self.spacing_mm} must have as many numbers as data.size {self.size}")
        if self.spacing_mm and self.sampling == "resize":
            raise ValueError("data.spacing_mm has no effect where data.sampling is resize: leave it out, or use patch")
        return self


class TrainSettings(Settings):
    """The optimisation, and how often the rare work is done. Released: 2D SGD with Nesterov momentum, 3D AdamW."""

    steps: Count = 30000
    batch: BatchSizes = BatchSizes()
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Positive = 0.01
    momentum: BelowOne = 0.9  # of sgd
    weight_decay: NonNegative = 1e-4
    poly_power: NonNegative = 0.9
    poly_horizon: Annotated[float, Field(ge=1)] = 1.0  # where the rate would reach 0, in lengths of the run
    ema: BelowOne = 0.0  # decay of the averaged weights that are then evaluated; 0: none
    precision: Literal["auto", "bf16", "float32"] = "auto"  # auto: bf16 where the hardware computes in it
    log_every: Count = 20
    validate_every: Count = 1000
    checkpoint_every: Count = 500


class PredictSettings(Settings):
    """How masks of native size are made from the network's."""

    resize: Literal["labels", "probabilities"] = "probabilities"  # labels: order 0, the published ACDC protocol
    batch: Count = 16  # slices or windows at a time
    stride: Stride = "even"  # even: half a patch or less apart, with Gaussian weights; with numbers all count alike


class Recipe(Settings):
    """One complete run. `seed` fixes the initial weights and everything that is drawn."""

    about: str = ""
    mends: tuple[str, ...] = ()  # where the recipe departs from the released code, and why
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataSettings = DataSettings()
    views: ViewSettings = ViewSettings()
    network: NetworkChoice = Field({}, validate_default=True)
    method: MethodChoice = Field({}, validate_default=True)
    dice: DiceSettings = DiceSettings()
    train: TrainSettings = TrainSettings()
    predict: PredictSettings = PredictSettings()

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
            raise ValueError(f"no {info.field_name} {name!r}; there are {', '.join(known)}; register your own first")
        settings = known[name].Settings.model_validate({key: value for key, value in given.items() if key != "name"})
        return {"name": name, "settings": settings}

    @model_validator(mode="after")
    def _settings_fit(self) -> "Recipe":
        size = self.data.size
        self.network.settings.check_size(size, min(self.train.batch.labelled, self.train.batch.unlabelled))
        if any(axis >= len(size) for axis in self.views.weak.plane):
            raise ValueError(f"views.weak.plane {self.views.weak.plane} names an axis that data.size {size} lacks")
        check_stride(self.predict.stride, self.data)
        if self.predict.resize == "labels" and self.data.sampling == "patch":
            raise ValueError("predict.resize=labels has no effect where data.sampling is patch: leave it out")
        strong = self.views.strong
        if self.data.normalise in UNBOUNDED and (strong.brightness or strong.contrast):
            raise ValueError(
                "views.strong.brightness and contrast cut grey values to [0, 1]: set both to 0 (and bias and gamma "
                f"instead) where data.normalise is {self.data.normalise}"
            )
        return self

    def settings(self) -> dict[str, Any]:
        """All that decides what a run does, as plain values: without the remarks, and where voxels are kept."""
        return self.model_dump(mode="json", exclude={"about": True, "mends": True, "data": {"memory_gb"}})

    @property
    def coarse_size(self) -> tuple[int, ...]:
        """Voxels an axis of the network's coarsest feature map."""
        return tuple(n // self.network.settings.multiple for n in self.data.size)

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
