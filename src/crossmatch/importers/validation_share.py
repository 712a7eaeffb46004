"""Choose the patients that an import keeps for validation."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from crossmatch.errors import UserError
from crossmatch.importers.wishes import SourceCase, Wishes


def with_validation(cases: list[SourceCase], patient: Callable[[str], str], wishes: Wishes) -> list[SourceCase]:
    """Move a share of the training patients, all of whose cases have labels, to validation.

    Args:
        patient: gives the patient of a case's name.

    Raises:
        UserError: a share that leaves no labelled patient on one side, or validation cases that are there already.
    """
    if not 0 < wishes.validation < 1:
        raise UserError(f"--validation {wishes.validation:g}: it is a share of the patients with labels, such as 0.2.")
    if any(case.split == "val" for case in cases):
        raise UserError("--validation is not used: the source has a folder of validation cases already.")
    patients = {case.name: patient(case.name) for case in cases}
    training = [case for case in cases if case.split == "train"]
    unlabelled = {patients[case.name] for case in training if case.label is None}
    labelled = sorted({patients[case.name] for case in training} - unlabelled)
    if len(labelled) < 2:
        raise UserError(
            f"--validation needs two patients all of whose scans have labels, and there are {len(labelled)}."
        )
    count = min(max(1, round(wishes.validation * len(labelled))), len(labelled) - 1)
    chosen = {labelled[n] for n in np.random.default_rng(wishes.seed).permutation(len(labelled))[:count]}
    return [
        replace(case, split="val") if case.split == "train" and patients[case.name] in chosen else case
        for case in cases
    ]
