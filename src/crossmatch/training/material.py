"""What a run learns from: its cases, checked before the run's folder is made, and their voxels, loaded later."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from crossmatch import formats
from crossmatch.batches.intensity import WHOLE_RANGE, Window, few_levels, foreground_window
from crossmatch.batches.items import stored_shape
from crossmatch.batches.store import Store, load_store, voxel_bytes
from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import Case, Dataset
from crossmatch.dataset.fingerprint import CasePrint, Fingerprint, content_digest
from crossmatch.dataset.layout import refuse
from crossmatch.dataset.leaks import shared_files
from crossmatch.dataset.orientation import Frame, into_frame, read_label, turn_voxels
from crossmatch.dataset.same_image import content_of
from crossmatch.errors import UserError
from crossmatch.inference.familiar import seen_in_training
from crossmatch.methods import METHODS
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.record import DataFacts
from crossmatch.training.mirrored_sides import mirrored_sides
from crossmatch.training.unsuited import (
    averaged_beginning,
    data_warnings,
    shown_classes,
    unseen_classes,
)


@dataclass(frozen=True)
class TrainingCases:
    """The cases of a dataset as a recipe uses them; test cases are not among them."""

    dataset: Dataset  # train and validation alone
    labelled: tuple[Case, ...]
    unlabelled: tuple[Case, ...]  # empty for a method that needs none
    shown: dict[str, int]  # class -> value, of the classes that the labels of the labelled cases show
    facts: DataFacts  # what run.json says of them
    contents: dict[str, str]  # case -> `content_of`, of all cases of the dataset, those for testing too
    warnings: tuple[str, ...]  # of `check`, and of settings that do not suit the scans
    voxel_bytes: int  # the size of their voxels in a store

    def load(
        self, recipe: Recipe, folder: Path, device: torch.device, loading: Callable[[int, int], None], rank: int = 0
    ) -> Store:
        """Read the voxels onto the device, or into files in `folder` where they exceed the recipe's data.memory_gb.

        Each `rank` reads all voxels and has its own files. `loading` is called with (cases read, cases in all).
        """
        count, counter = len(self.labelled) + len(self.unlabelled), itertools.count(1)
        fits = self.voxel_bytes <= recipe.data.memory_gb * 2**30
        return load_store(
            self.labelled,
            self.unlabelled,
            dims=recipe.dims,
            slice_axis=self.dataset.slice_axis,
            normalise=recipe.data.normalise,
            labels=self.dataset.drawn,
            fixed=[Window(*numbers) for numbers in self.facts.get("ct", [])],
            spacing_mm=recipe.data.spacing_mm,
            size=recipe.data.stored_size,
            frame=self.facts["affine"],
            device=device,
            memory_map=None if fits else folder / (f"voxels-{rank}.bin" if rank else "voxels.bin"),
            progress=lambda: loading(next(counter), count),
        )


def training_cases(recipe: Recipe, whole: Dataset, loading: Callable[[int, int], None]) -> TrainingCases:
    """Find what the recipe learns from.

    Args:
        whole: the dataset, opened with all its splits.
        loading: called with (cases scanned, cases in all) where the dataset has no fresh fingerprint.

    Raises:
        UserError: the recipe is for another dataset, no case is labelled, none is unlabelled where the method needs
            some, scans have another number of axes than the recipe, a file of theirs is that of a test case, or a
            voxel size that the recipe needs is unknown.
    """
    dataset = whole.only("train", "val")
    if recipe.data.dataset and recipe.data.dataset != dataset.name:
        raise UserError(
            f"The recipe is for the dataset {recipe.data.dataset}, and {dataset.root} is {dataset.name} (the name in "
            'its dataset.json): choose the recipe made for it, or insist with --set data.dataset="".'
        )
    labelled, unlabelled = dataset.labelled(recipe.data.labelled)
    needs_unlabelled = METHODS[recipe.method.name].needs_unlabelled
    _check(recipe, labelled, unlabelled, needs_unlabelled)
    fingerprint = load_fingerprint(whole, loading)
    refuse(whole.root, shared_files(whole))  # where the fingerprint is fresh: `check` refuses it too
    facts = dataset_facts(dataset, fingerprint, [case.id for case in labelled], [case.id for case in unlabelled])
    if recipe.data.normalise == "ct":
        facts["ct"] = [list(window) for window in foreground_windows(labelled, dataset, fingerprint.frame)]
    learned = unlabelled if needs_unlabelled else ()
    prints = {case.id: case for case in fingerprint.cases}
    learned_from = {case.id for case in (*labelled, *learned)}
    shapes = {  # of validation cases too, so that scans that do not fit are reported before the first step
        case.id: stored_shape(
            prints[case.id].shape,
            prints[case.id].spacing_mm,
            recipe.data.spacing_mm,
            recipe.dims,
            dataset.slice_axis,
            case.images[0],
            recipe.data.stored_size,
        )
        for case in dataset.cases
        if case.id in learned_from or case.split == "val"
    }
    wide = any(_kept_wide(recipe, prints[name]) for name in learned_from)
    size = voxel_bytes([shapes[name] for name in learned_from], len(dataset.channels), wide)
    scans = sorted(learned_from)
    unsuited = data_warnings(
        recipe, [prints[name] for name in scans], [shapes[name] for name in scans], dataset.slice_axis
    )
    shown = shown_classes([prints[case.id] for case in labelled], dataset.labels)
    unseen = unseen_classes(shown, dataset.labels, recipe.data.labelled)
    warnings = (
        *fingerprint.warnings,
        *unseen,
        *averaged_beginning(recipe.train),
        *mirrored_sides(recipe, [*dataset.labels][1:], fingerprint.frame, dataset.slice_axis),
        *unsuited,
    )
    contents = {name: content_of(scan) for name, scan in prints.items()}
    return TrainingCases(dataset, labelled, learned, shown, facts, contents, warnings, size)


def foreground_windows(labelled: Sequence[Case], dataset: Dataset, frame: Frame | None) -> list[Window]:
    """The window of each channel for data.normalise = "ct", from all foreground voxels of the labelled cases.

    Raises:
        UserError: no label shows a foreground voxel.
    """
    values: dict[int, list[formats.Array]] = defaultdict(list)
    for case in labelled:
        assert case.label is not None
        stored = formats.read_channels(case.images)
        images, turn = into_frame(stored, frame, case.images[0])
        drawn = turn_voxels(read_label(case.label, stored[0], dataset.drawn).voxels, turn)
        shown = (drawn > 0) & (drawn < len(dataset.labels))
        for channel, image in enumerate(images):
            values[channel].append(image.voxels[shown])
    if not any(part.size for part in values[0]):
        raise UserError(
            "data.normalise=ct takes its numbers from the labelled structures, and no training label shows one: "
            "label a case, or choose --set data.normalise=percentile."
        )
    return [foreground_window(channel) for channel in values.values()]


def _kept_wide(recipe: Recipe, scan: CasePrint) -> bool:
    """Whether a store probably keeps a scan, and with it all others, as float32: see `batches/reading.py`."""
    resized = recipe.data.spacing_mm or recipe.data.stored_size or scan.dtype.startswith("float")
    return recipe.data.normalise in WHOLE_RANGE and any(
        (resized or one.max - one.min > np.iinfo(np.uint16).max) and few_levels(one.min, one.max, one.p00_5, one.p99_5)
        for one in scan.intensity
    )


def dataset_facts(dataset: Dataset, fingerprint: Fingerprint, labelled: list[str], unlabelled: list[str]) -> DataFacts:
    """What run.json says of the data.

    Args:
        labelled: names of the labelled training cases; unlabelled: of the others.
    """
    frame = fingerprint.frame
    return {
        "root": str(dataset.root.resolve()),
        "name": dataset.name,
        "fingerprint": fingerprint.digest,
        "learned_from": content_digest(dataset, (*fingerprint.split("train"), *fingerprint.split("val"))),
        "affine": None if frame is None else [list(row) for row in frame],  # the frame, see `dataset/orientation.py`
        "labels": dataset.labels,
        "channels": list(dataset.channels),
        "slice_axis": dataset.slice_axis,
        "seen": seen_in_training(fingerprint.split("train")),
        "labelled": labelled,
        "unlabelled": len(unlabelled),
        "unlabelled_cases": unlabelled,
        "validation": [case.id for case in dataset.split("val")],
        "contents": {case.id: content_of(case) for case in fingerprint.cases if case.split != "test"},
    }


def _check(recipe: Recipe, labelled: Sequence[Case], unlabelled: Sequence[Case], needs_unlabelled: bool) -> None:
    if not labelled:
        raise UserError(
            "No training case is labelled: put at least one label file into labelsTr, or name labelled cases in "
            "splits/train_N_label.txt and set data.labelled=N."
        )
    if not unlabelled and needs_unlabelled:
        raise UserError(
            f"The method {recipe.method.name} needs unlabelled training cases, and every one is labelled: add "
            "images without labels to imagesTr, choose a smaller subset with --set data.labelled=N, or train on the "
            "labels alone with --set method.name=supervised."
        )
