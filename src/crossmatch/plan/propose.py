"""From facts and a level to a whole recipe: every choice with its reason, on top of own_2d or own_3d.

The rules about the data are in `rules`, those about size in `levels`. Here are the ones about the training: network,
batch, length, optimiser, perturbations, method.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, get_args

from crossmatch.batches.intensity import UNBOUNDED, Normalise
from crossmatch.plan import rules
from crossmatch.plan.facts import Facts
from crossmatch.plan.given import GIVEN, GivenGeometry, given_geometry
from crossmatch.plan.levels import Level, patch_size, slice_size, unet_levels, usual_shape
from crossmatch.plan.rules import Chosen
from crossmatch.recipes.files import read_tree
from crossmatch.recipes.load import load_recipe, whole_tree
from crossmatch.recipes.schema import Recipe
from crossmatch.recipes.toml import to_toml

SHORT = 5000  # steps below which a training is short
VERY_SHORT = 1000
WARMED_UP = ("crossmatch", "fixmatch", "unimatch")  # whose warm-up is longer in a very short training of slices
VALIDATIONS = 10  # in a training, at most
RELEASED_EDGE = 256  # voxels of the slices that the released blur was made for


@dataclass(frozen=True)
class Proposal:
    """A recipe with the reason for each choice."""

    recipe: Recipe
    level: Level
    reasons: dict[str, str]  # dotted key -> why

    def toml(self, head: str) -> str:
        """The recipe as a file, `head` as a comment at its top."""
        whole = to_toml(whole_tree(self.recipe), self.reasons)
        return "".join(f"# {line}\n" for line in head.splitlines()) + whole + "\n"

    def lines(self) -> list[str]:
        """``key = value: reason``, one a choice."""
        tree = self.recipe.model_dump(mode="json")
        return [f"{key} = {_shown(key, _value_of(tree, key))}: {reason}" for key, reason in self.reasons.items()]


def propose(
    facts: Facts,
    level: Level,
    steps: Chosen[int],
    changes: Mapping[str, object] = {},
    validations: int = VALIDATIONS,
) -> Proposal:
    """The recipe for a dataset at a level.

    Args:
        steps: of the training; validations: how many there are meanwhile, at most.
        changes: ``{"section.key": value}``, which count more than the rules.

    Raises:
        UserError: a change that does not fit the recipe.
    """
    if isinstance(wanted := changes.get("train.steps"), int):  # what else follows from the steps
        steps = Chosen(wanted, GIVEN)
    kind, dims = rules.kind_of_image(facts), rules.dimensions(facts)
    chosen: dict[str, Chosen[Any]] = {}
    geometry = given_geometry(changes, dims.value)
    share = _geometry(facts, level, dims, geometry, chosen)
    chosen["data.normalise"] = rules.normalisation(kind.value, facts)
    chosen["data.normalise"] = Chosen(
        chosen["data.normalise"].value, f"{chosen['data.normalise'].reason} ({kind.reason})"
    )
    if (given := changes.get("data.normalise")) in get_args(Normalise):  # what follows from it has to suit it
        chosen["data.normalise"] = Chosen(given, GIVEN)
    reduced = rules.reduced_when_read(facts, kind.value, chosen["data.size"].value)
    if reduced and chosen["data.sampling"].value == "resize":
        chosen["data.interpolation"] = reduced
    chosen["data.foreground"] = rules.foreground_share(facts, share, "scan" if dims.value == facts.axes else "slice")
    turned = rules.turns(facts, kind.value, dims.value)
    chosen["views.weak.turn_probability"] = Chosen(0.5 if turned.value else 0.0, turned.reason)
    chosen["views.weak.rotation_probability"] = Chosen(
        0.5 if turned.value else 1.0, "of the others half are rotated" if turned.value else "small angles instead"
    )
    mirrored = "as the weak views are flipped" if turned.value else "as the weak views are not flipped"
    chosen["views.augment.mirror_probability"] = Chosen(0.5 if turned.value else 0.0, mirrored)
    chosen["views.weak.plane"] = rules.plane(facts, dims.value, geometry.spacing_mm)
    if dims.value == 2:
        why = "few labelled slices are soon known by heart, and structures then grow over unlabelled scans"
        chosen["views.augment.labelled"] = Chosen(True, why)
    _strong_views(chosen, dims.value)
    _network(facts, level, dims.value, chosen)
    _training(level, dims.value, steps, facts.validation > 0, validations, chosen)
    chosen["dice.background"] = rules.dice_with_background(facts)

    tree = read_tree(f"own_{dims.value}d")
    tree["about"] = f"Chosen from the data: {kind.value}, {dims.value}D, the {level.name} of five settings."
    tree["departures"] = []
    others = tree["methods"]
    others["crossmatch"] = {key: value for key, value in tree.pop("method").items() if key != "name"}
    less_dropout = dims.value == 2 and (level.width < 16 or steps.value < SHORT)
    very_short = dims.value == 2 and steps.value < VERY_SHORT
    if less_dropout:
        others["crossmatch"] |= {"weak_rate": 0.1, "strong_rate": 0.5}
    for each in WARMED_UP if very_short else ():
        others[each]["warm_up"] = 0.5
    chosen["method.name"] = rules.method(facts, dims.value, level.width)
    method = chosen["method.name"].value
    tree["method"] = {"name": method, **others.get(method, {})}
    for key, choice in chosen.items():
        _put(tree, key, list(choice.value) if isinstance(choice.value, tuple) else choice.value)
    recipe = load_recipe(tree, changes)
    reasons = {key: choice.reason for key, choice in chosen.items()}
    if less_dropout and recipe.method.name == "crossmatch":
        why = "narrow networks and short trainings bear less dropout"
        reasons |= {"method.weak_rate": why, "method.strong_rate": why}
    if very_short and recipe.method.name in WARMED_UP:
        reasons["method.warm_up"] = "half of so short a training: early pseudo-labels are often wrong"
    given = [key.replace(f"methods.{recipe.method.name}.", "method.", 1) for key in changes]
    reasons |= {key: GIVEN for key in given if not key.startswith("methods.")}
    return Proposal(recipe, level, reasons)


def _geometry(
    facts: Facts, level: Level, dims: Chosen[Any], given: GivenGeometry, chosen: dict[str, Chosen[Any]]
) -> float:
    """Voxel size, sampling and size; returns the share of a scan, or of a slice, that one view sees."""
    resized, wanted = rules.resizes(facts, dims.value), rules.spacing(facts, dims.value)
    if given.sampling is not None:
        resized = Chosen(given.sampling == "resize", GIVEN)
    elif given.spacing_mm and resized.value:
        resized = Chosen(False, "at the voxel size given with --set, patches are cut from slices or padded")
    if given.spacing_mm is not None:
        wanted = Chosen(given.spacing_mm, GIVEN)
    sampling = "resize" if resized.value else "patch"
    chosen["data.sampling"] = Chosen(sampling, f"{dims.value}D: {dims.reason}; {resized.reason}")
    spacing_mm = () if resized.value else wanted.value
    choose_size = slice_size if dims.value == 2 else patch_size
    size, grown = choose_size(facts, level, spacing_mm, given, sampling)
    chosen["data.size"] = size
    if spacing_mm:
        larger = f", times {grown:.2f} so that more fits into {' x '.join(map(str, size.value))}" if grown > 1 else ""
        if given.spacing_mm is None:
            spacing_mm = tuple(float(f"{mm * grown:.3g}") for mm in spacing_mm)
        chosen["data.spacing_mm"] = Chosen(spacing_mm, f"{wanted.reason}{larger}")
    if resized.value:
        return 1.0
    scan = usual_shape(facts, dims.value, spacing_mm)
    return prod(min(1.0, edge / float(n)) for edge, n in zip(size.value, scan, strict=True))


def _strong_views(chosen: dict[str, Chosen[Any]], dims: int) -> None:
    normalise, size = chosen["data.normalise"].value, chosen["data.size"].value
    if normalise in UNBOUNDED or dims == 3:
        why = "grey values are not cut to [0, 1]" if normalise in UNBOUNDED else "volumes of several scanners"
        for key, value in {"brightness": 0.0, "contrast": 0.0, "bias": 0.5, "gamma": 0.5}.items():
            chosen[f"views.strong.{key}"] = Chosen(value, f"bias and gamma instead of brightness and contrast: {why}")
    if dims == 3:
        chosen["views.strong.blur_each_axis"] = Chosen(True, "voxels may have unequal sides")
    factor = min(1.0, max(size) / RELEASED_EDGE) if dims == 2 else 0.5 if max(size) < 80 else 1.0
    sigma = (round(0.1 * factor, 4), round(2.0 * factor, 4))
    chosen["views.strong.blur_sigma"] = Chosen(sigma, "in voxels: the released blur, scaled with the size")


def _network(facts: Facts, level: Level, dims: int, chosen: dict[str, Chosen[Any]]) -> None:
    if dims == 3:
        chosen["network.name"] = Chosen("vnet", "volumes")
        chosen["network.width"] = Chosen(level.width, f"the {level.name} setting")
        chosen["network.normalisation"] = Chosen("instance", "batch statistics of two volumes are poor")
        return
    size = chosen["data.size"].value
    depth = unet_levels([float(n) for n in size])
    chosen["network.name"] = Chosen("unet", "slices")
    chosen["network.width"] = Chosen(level.width, f"the {level.name} setting")
    chosen["network.dropout"] = Chosen(
        (0.0,) * depth,
        f"{depth} levels, the coarsest map has {min(size) // 2 ** (depth - 1)} voxels or more along an "
        "axis; no dropout",
    )


def _training(
    level: Level, dims: int, steps: Chosen[int], validated: bool, validations: int, chosen: dict[str, Chosen[Any]]
) -> None:
    count = level.slices if dims == 2 else level.volumes
    batch = Chosen(count, f"the {level.name} setting")
    chosen |= {"train.batch.labelled": batch, "train.batch.unlabelled": batch, "train.steps": steps}
    short = steps.value < SHORT
    if dims == 3 or short:
        rate = 0.003 if short and level.width < 16 else 0.001
        chosen["train.optimizer"] = Chosen("adamw", "a short training" if short else "volumes, as released")
        chosen["train.learning_rate"] = Chosen(rate, "of AdamW, higher in a short training of a narrow network")
    else:
        chosen["train.optimizer"] = Chosen("sgd", "slices, as released")
        chosen["train.learning_rate"] = Chosen(0.01, "of SGD, as released")
    every = max(1, -(-steps.value // max(1, validations)))
    why = f"{max(1, validations)} times in all" if validated else "no validation case, so without effect"
    chosen["train.validate_every"] = Chosen(every, why)
    chosen["train.checkpoint_every"] = Chosen(max(1, min(250, steps.value // 4 or 1)), "at most these steps are lost")
    chosen["predict.batch"] = Chosen(16 if dims == 2 else 4 if level.width < 16 else 1, "slices or windows at a time")


def _put(tree: dict[str, Any], key: str, value: object) -> None:
    *groups, last = key.split(".")
    for group in groups:
        tree = tree.setdefault(group, {})
    tree[last] = value


def _value_of(tree: dict[str, Any], key: str) -> object:
    node: Any = tree
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _shown(key: str, value: object) -> str:
    """Sizes, in voxels or mm, as a product; other rows of numbers, such as rates, as a list."""
    if not isinstance(value, list) or not value:
        return str(value)
    size = key.endswith("_mm") or all(isinstance(one, int) for one in value)
    return (" x " if size else ", ").join(map(str, value))
