"""Cells that were measured elsewhere: which of them a benchmark may take instead of running its own.

They come from the results.json of a benchmark, or from the summary.json of one cell. A cell is taken if it has the
recipe, data, checkpoint and version of its method that a run here would have, and was trained and tested in the same
way. Whatever differs is reported.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

from crossmatch.atomic import read_json
from crossmatch.benchmark.cells import Cell
from crossmatch.benchmark.results import Result
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.layout import read_description
from crossmatch.errors import UserError, listed
from crossmatch.recipes.load import parse_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.differences import changes
from crossmatch.scoring.scores import Evaluation, evaluation_of
from crossmatch.scoring.stored import FORMAT as OF_A_CELL
from crossmatch.scoring.stored import Prediction, StoredEvaluation

WAY_OUT = "--known takes the results.json of a benchmark, or the summary.json in the folder `test` of one of its cells"


class StoredCell(BaseModel):
    """What is read of a cell in results.json; those of earlier versions have no evaluation."""

    evaluation: StoredEvaluation | None = None


class StoredBenchmark(BaseModel):
    """What is read of results.json, or of a summary.json."""

    format: Literal["crossmatch benchmark 1", "crossmatch evaluation 1"]
    cells: tuple[StoredCell, ...] = ()


class Candidate(NamedTuple):
    """A cell that was measured elsewhere."""

    name: tuple[str, str, int]  # method, labels and seed; settings may differ
    file: Path
    evaluation: Evaluation
    prediction: Prediction  # the run that was evaluated
    recipe: Recipe | None  # None: this version cannot read it,
    unreadable: str  # and why


class Known(NamedTuple):
    """What was found in the files."""

    results: dict[Path, Result]  # by the folder of the planned cell, which need not run here
    remarks: tuple[str, ...]  # what was not taken, and why; a line each


def read_known(files: Sequence[Path]) -> list[Candidate]:
    """All cells in the files.

    Raises:
        UserError: a file that is neither results.json nor summary.json, or that holds no whole cell.
    """
    found: list[Candidate] = []
    for file in files:
        stored = read_json(file, StoredBenchmark, WAY_OUT)
        if stored.format == OF_A_CELL:
            evaluations = [read_json(file, StoredEvaluation, WAY_OUT)]
        else:
            evaluations = [cell.evaluation for cell in stored.cells if cell.evaluation is not None]
        if not evaluations:
            raise UserError(
                f"{file} holds no cell with its scores of every case: a version of crossmatch wrote it that did not "
                "keep them. Give the summary.json files of its cells."
            )
        found += [_candidate(evaluation_of(each), file) for each in evaluations]
    return found


def _candidate(evaluation: Evaluation, file: Path) -> Candidate:
    prediction = evaluation.prediction or {}
    try:
        tree = prediction["recipe"]
        name = str(tree["method"]["name"]), str(tree["data"]["labelled"]), int(tree["seed"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"A cell in {file} does not say which run it is of: {WAY_OUT}.") from None
    try:
        recipe, unreadable = parse_recipe(tree, "its recipe"), ""
    except UserError as error:
        recipe, unreadable = None, str(error).removesuffix(".")
    return Candidate(name, file, evaluation, prediction, recipe, unreadable)


def match(
    cells: Sequence[Cell], candidates: Sequence[Candidate], checkpoint: str, fingerprints: Mapping[Path, str]
) -> Known:
    """The planned cells that were measured elsewhere.

    A cell that learns from another one's run (`distillation`) is taken with its teacher, from one file. A teacher is
    not taken if a cell that must run here needs its run.

    Args:
        cells: planned ones.
        candidates: see `read_known`; of two that fit the first is taken.
        checkpoint: the one that is tested.
        fingerprints: a dataset's folder -> the digest of its content.
    """
    taken: dict[Path, Candidate] = {}
    remarks: list[str] = []
    for cell in cells:
        same = [each for each in candidates if each.name == (cell.method, cell.labelled, cell.seed)]
        apart = [_differences(cell, each, checkpoint, fingerprints[cell.data]) for each in same]
        fits = [each for each, differing in zip(same, apart, strict=True) if not differing]
        if fits:
            taken[cell.folder] = fits[0]
        elif apart:
            fewest = min(apart, key=len)
            remarks.append(f"{cell}: measured elsewhere, and different: {listed(fewest, '; ')}")
    remarks += _without_teachers(cells, taken)
    planned = {(cell.method, cell.labelled, cell.seed) for cell in cells}
    if beyond := sum(each.name not in planned for each in candidates):
        remarks.append(f"{beyond} known cells that this command did not name are left out")
    results = {cell.folder: _result(cell, taken[cell.folder]) for cell in cells if cell.folder in taken}
    return Known(results, tuple(remarks))


def _without_teachers(cells: Sequence[Cell], taken: dict[Path, Candidate]) -> list[str]:
    """Put back cells whose teacher differs, and teachers whose run is needed here; a line for each."""
    remarks = []
    taught = [(cell, cell.teacher) for cell in cells if cell.teacher is not None]
    for cell, teacher in taught:
        if cell.folder in taken and (teacher not in taken or taken[teacher].file != taken[cell.folder].file):
            del taken[cell.folder]
            remarks.append(f"{cell}: measured elsewhere, and its teacher is not taken from the same file")
    for cell, teacher in taught:
        if cell.folder not in taken and teacher in taken:
            del taken[teacher]
            remarks.append(f"{cell}: runs here, and so does its teacher, which is known")
    return remarks


def _differences(cell: Cell, known: Candidate, checkpoint: str, fingerprint: str) -> list[str]:
    """In words, what a run here would have otherwise."""
    if known.recipe is None:
        return [known.unreadable]
    run, tested = known.prediction, known.prediction.get("checkpoint")
    version = run.get("training", {}).get("code", {}).get("method_version")
    data = run.get("data", {})
    labelled = sorted(data.get("labelled", []))
    theirs = {"data.fingerprint": data.get("fingerprint"), "checkpoint": tested, "labelled cases": labelled}
    ours = {"data.fingerprint": fingerprint, "checkpoint": checkpoint, "labelled cases": cell.labelled_cases()}
    found = changes(
        {**known.recipe.settings(), **theirs, "version of the method": version},
        {**cell.recipe.settings(), **ours, "version of the method": cell.recipe.method_class.version},
    )
    if checkpoint == "last" and run.get("step") != cell.recipe.train.steps:
        found.append(f"tested after step {run.get('step')}")
    return [*found, *_otherwise(cell, known)]


def _otherwise(cell: Cell, known: Candidate) -> Iterator[str]:
    """In words, how it was trained or tested in ways that no recipe says."""
    run, evaluation, description = known.prediction, known.evaluation, read_description(cell.data)
    if "begun_from" in run:
        yield "it began with the weights of another run"
    if "extended" in run:
        yield "it was finished before, and went on to more steps"
    if "members" in run:
        yield f"its masks are of {len(run['members'])} runs together"
    if run.get("flips"):
        yield "its masks are averages over mirror images"
    if evaluation.largest_component:
        yield "only the largest component of each class was tested"
    if evaluation.edited:
        yield f"masks were changed after predict wrote them: {listed(evaluation.edited)}"
    if evaluation.labels != {name: value for name, value in description.labels.items() if value}:
        yield f"other classes were tested: {listed(evaluation.labels)}"
    if evaluation.jaccard_threshold != description.jaccard_threshold:
        was, now = evaluation.jaccard_threshold, description.jaccard_threshold
        yield f"jaccard_threshold of the dataset was {was}, now {now}"
    if {row.case for row in known.evaluation.rows} != set(_patients(cell)):
        yield "tested on other cases"


def _patients(cell: Cell) -> dict[str, str]:
    """Test case -> patient."""
    return {case.id: case.patient for case in open_dataset(cell.data, splits=["test"]).cases}


def _result(cell: Cell, known: Candidate) -> Result:
    return Result(cell.method, cell.labelled, cell.seed, cell.grid, known.evaluation, _patients(cell))
