"""Whether the files of the cases that estimates of quality were fitted on are still those of the fit."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossmatch import formats
from crossmatch.atomic import file_sha256
from crossmatch.dataset.dataset import Case, open_dataset
from crossmatch.errors import UserError
from crossmatch.runs.run import Run


def state_of(cases: Sequence[Case]) -> str:
    """Changes when a case joins or leaves, or one of its files is written or copied; no file is read."""
    states = []
    for case, path in _files(cases):
        stat = path.stat()
        states.append([case, path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns])
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()


def digest_of_files(cases: Sequence[Case]) -> str:
    """Changes when a case joins or leaves, or one of its files gets another content."""
    found = [[case, path.name, file_sha256(path)] for case, path in _files(cases)]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def changed_since_fit(run: Run, kept: Mapping[str, Any]) -> bool:
    """Whether scans or labels of a run's cases have changed since a fit; no where its data are not there.

    Args:
        kept: what the run keeps of the fit, a `KnownCases`. Of one of an earlier version it is not known: then yes.
    """
    if run.is_packed:
        return False
    try:
        dataset = open_dataset(Path(run.data["root"]), ("train", "val"))
    except UserError:
        return False
    labelled = {case.id: case for case in dataset.cases if case.label is not None}
    cases = [labelled[name] for name in kept["references"] if name in labelled]
    if len(cases) < len(kept["references"]):
        return bool(cases)
    return state_of(cases) != kept.get("reference_files") and digest_of_files(cases) != kept.get("content")


def _files(cases: Sequence[Case]) -> Iterator[tuple[str, Path]]:
    """The name of each case with each of its files."""
    for case in cases:
        named = (*case.images, *([] if case.label is None else [case.label]))
        yield from ((case.id, path) for each in named for path in formats.parts(each))
