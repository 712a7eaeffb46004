"""Recipes: one complete run as a frozen, checked tree of settings, read from TOML and changed by `--set key=value`.

Each group of settings is defined beside the code it sets; this file puts them together and explains mistakes.
"""

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from crossmatch.data.intensity import Normalise
from crossmatch.data.views import BatchSizes, ViewSettings
from crossmatch.errors import UserError
from crossmatch.losses import DiceSettings
from crossmatch.methods import METHODS
from crossmatch.networks import NETWORKS
from crossmatch.networks.unet import CHANNELS, DROPOUT
from crossmatch.settings import Settings

Count = Annotated[int, Field(ge=1)]
DEFAULT_METHOD = "crossmatch"  # of a recipe that names none


class DataSettings(Settings):
    """What is learned from, and in what form."""

    labelled: Annotated[str, Field(coerce_numbers_to_str=True)] = (
        "all"  # splits/train_<labelled>_label.txt, or "all" cases with a label file
    )
    normalise: Normalise = "minmax"
    size: tuple[Count, ...] = (256, 256)  # 2D: every slice is resized to this
    memory_gb: Annotated[float, Field(ge=0)] = 4.0  # voxels stay on the compute device up to this, else on disk

    @field_validator("size")
    @classmethod
    def _two_axes(cls, size: tuple[int, ...]) -> tuple[int, ...]:
        if len(size) != 2:
            raise ValueError("two numbers, rows and columns")
        return size


class NetworkSettings(Settings):
    """The network by name, and its widths."""

    name: str = "unet"
    channels: tuple[Count, ...] = CHANNELS
    dropout: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = DROPOUT

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in NETWORKS:
            raise ValueError(f"no such network; there are {', '.join(NETWORKS)}")
        return name

    @model_validator(mode="after")
    def _one_rate_a_level(self) -> "NetworkSettings":
        if len(self.channels) < 2 or len(self.channels) != len(self.dropout):
            raise ValueError(
                f"{len(self.channels)} channels and {len(self.dropout)} dropout rates: give one of each a level"
            )
        return self


class TrainSettings(Settings):
    """The optimisation, and how often the rare work is done. Released: 2D SGD with Nesterov momentum, 3D AdamW."""

    steps: Count = 30000
    batch: BatchSizes = BatchSizes()
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9  # of sgd
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    poly_power: Annotated[float, Field(ge=0)] = 0.9
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0  # decay of the averaged weights that are then evaluated; 0: none
    precision: Literal["auto", "bf16", "float32"] = "auto"  # auto: bf16 where the hardware computes in it
    log_every: Count = 20
    validate_every: Count = 1000
    checkpoint_every: Count = 500


class PredictSettings(Settings):
    """How masks of native size are made from the network's."""

    resize: Literal["labels", "probabilities"] = "probabilities"  # labels: order 0, the published ACDC protocol
    batch: Count = 16


class Recipe(Settings):
    """One complete run. `seed` fixes the initial weights and everything that is drawn."""

    about: str = ""
    mends: tuple[str, ...] = ()  # where the recipe departs from the released code, and why
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataSettings = DataSettings()
    views: ViewSettings = ViewSettings()
    network: NetworkSettings = NetworkSettings()
    method: dict[str, Any] = Field({"name": DEFAULT_METHOD}, validate_default=True)  # name, and that method's settings
    dice: DiceSettings = DiceSettings()
    train: TrainSettings = TrainSettings()
    predict: PredictSettings = PredictSettings()

    @field_validator("method")
    @classmethod
    def _resolve_method(cls, method: dict[str, Any]) -> dict[str, Any]:
        name = method.get("name", DEFAULT_METHOD)
        if not isinstance(name, str) or name not in METHODS:
            raise ValueError(f"no method {name!r}; there are {', '.join(METHODS)}")
        settings = METHODS[name][1].model_validate({key: value for key, value in method.items() if key != "name"})
        return {"name": name, **settings.model_dump()}

    @model_validator(mode="after")
    def _size_fits_network(self) -> "Recipe":
        step = 2 ** (len(self.network.channels) - 1)
        legal = tuple(-(-n // step) * step for n in self.data.size)
        if self.data.size != legal:
            raise ValueError(f"data.size {self.data.size} must be multiples of {step} for this network; next: {legal}")
        return self

    @property
    def dims(self) -> int:
        """Spatial axes of what the network sees."""
        return len(self.data.size)


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    folder = resources.files("crossmatch") / "recipes"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by name or by the path of a TOML file, with `section.key=value` changes applied.

    Changing `method.name` drops the settings of the method it replaces.

    Raises:
        UserError: unknown recipe, unknown key (the valid ones are listed), or a value that does not fit.
    """
    tree = _read(name)
    changes = [_parse(text) for text in overrides]
    method = tree.get("method", {})
    named = method.get("name", DEFAULT_METHOD) if isinstance(method, dict) else method
    if any(keys == ["method", "name"] and value != named for keys, value in changes):
        tree["method"] = {}
    for keys, value in changes:
        node = tree
        for key in keys[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise UserError(f"--set {'.'.join(keys)}: {key} is a value, not a group of settings.")
        node[keys[-1]] = value
    return parse_recipe(tree, f"recipe {name}")


def parse_recipe(tree: dict[str, Any], origin: str) -> Recipe:
    """A recipe from a tree of plain values; `origin` names it in the message when something does not fit."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        problems = "; ".join(_explain(tree, dict(problem)) for problem in error.errors())
        raise UserError(f"In {origin}: {problems}.") from None


def _read(name: str) -> dict[str, Any]:
    path = Path(name)
    if path.suffix != ".toml":
        if name not in recipe_names():
            raise UserError(
                f"There is no recipe {name!r}. There are {', '.join(recipe_names())}; or give the path of a .toml file."
            )
        return tomllib.loads((resources.files("crossmatch") / "recipes" / f"{name}.toml").read_text(encoding="utf-8"))
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The recipe {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The recipe {path} is not valid TOML: {error}.") from None


def _parse(text: str) -> tuple[list[str], Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set takes section.key=value, for example train.steps=1000; got {text!r}.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    return key.strip().split("."), parsed


def _explain(tree: dict[str, Any], problem: dict[str, Any]) -> str:
    """One mistake in words: where it is, what was found, what would be right."""
    keys = [str(part) for part in problem["loc"]]
    where = ".".join(keys)
    if problem["type"] == "extra_forbidden":
        valid = _valid_keys(tree, keys[:-1])
        return f"unknown key {where}; valid keys here are {', '.join(valid)}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message} (found {problem['input']!r})" if where else message


def _valid_keys(tree: dict[str, Any], path: list[str]) -> list[str]:
    if path[:1] == ["method"]:
        return ["name", *METHODS[tree["method"].get("name", DEFAULT_METHOD)][1].model_fields]
    model: type[BaseModel] = Recipe
    for key in path:
        annotation = model.model_fields[key].annotation
        candidates = [annotation, *get_args(annotation)]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(model.model_fields)
