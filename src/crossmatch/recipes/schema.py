"""What a recipe is: one complete run as a frozen, checked tree of settings.

Each group of settings is defined beside the code it sets; this file puts them together. `load.py` reads recipes.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import (
    Field,
    SerializationInfo,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from crossmatch.batches.intensity import UNBOUNDED
from crossmatch.batches.views import BatchSizes, ViewSettings
from crossmatch.errors import offered
from crossmatch.methods import METHODS, Method, MethodSettings
from crossmatch.methods.losses import DiceSettings
from crossmatch.methods.schedules import poly_decay
from crossmatch.networks import NETWORKS, NetworkSettings, Segmenter
from crossmatch.recipes.data_settings import DataSettings, Stride, check_stride
from crossmatch.settings import BelowOne, Count, NonNegative, Positive, Settings

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
    methods: dict[str, dict[str, Any]] = Field({}, exclude=True)
    """How other methods are set: tables `[methods.NAME]`, which hold once `method.name` is NAME. No part of the run."""

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
        for key, each in zip(("data.size", "data.early_size"), self.data.sizes, strict=False):
            try:
                self.network.settings.check_size(each, min(self.train.batch.labelled, self.train.batch.unlabelled))
            except ValueError as error:
                raise ValueError(str(error).replace("data.size", key)) from None
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

    def __eq__(self, other: object) -> bool:
        """Whether the run is the same; how other methods would be set does not count."""
        if not isinstance(other, Recipe):
            return NotImplemented
        return all(getattr(self, key) == getattr(other, key) for key in Recipe.model_fields.keys() - {"methods"})

    def settings(self) -> dict[str, Any]:
        """All that decides what a run does, as plain values: without the remarks, and where voxels are kept."""
        return self.model_dump(mode="json", exclude={"about": True, "departures": True, "data": {"memory_gb"}})

    @property
    def coarse_size(self) -> tuple[int, ...]:
        """Voxels an axis of the network's coarsest feature map, of the smallest images."""
        return tuple(n // self.network.settings.multiple for n in self.data.sizes[-1])

    @property
    def early_steps(self) -> int:
        """Steps at the beginning of the run that see images of ``data.early_size``."""
        return round(self.data.early_share * self.train.steps)

    @property
    def growth(self) -> float:
        """How many times as many voxels an image has after the early steps."""
        return math.prod(self.data.size) / math.prod(self.data.sizes[-1])

    def work(self, step: int) -> float:
        """The work of the first `step` steps, counted in steps of full size."""
        early = min(step, self.early_steps)
        return early / self.growth + step - early

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
