"""What follows an accepted label, also where the process that accepted it was killed before it was done.

Label and note come first (see `accepting`), then the list for the next training, then the line in decisions.jsonl: it
says that all is done. So a label that is in place with this run's note, and no later decision, still wants the rest.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from crossmatch.atomic import read_json
from crossmatch.errors import UserError
from crossmatch.review.accepting import LabelNote, is_in_place, note_path
from crossmatch.review.decisions import Decision, Decisions
from crossmatch.review.joining import list_labelled
from crossmatch.review.shown_cases import ReviewCase
from crossmatch.runs.run import Run


def note_down(run: Run, root: Path, decisions: Decisions, case: ReviewCase, note: LabelNote) -> None:
    """Name an accepted case in the list for the next training, then write the decision down."""
    if case.kind != "validation":
        list_labelled(run, root, [case.name])
    twin = [f"unlabelled:{case.name}"] if case.kind == "new" else []  # it is a case of the dataset from now on
    for ident in (case.id, *twin):
        decisions.add(
            Decision(
                id=ident,
                state="accepted",
                when=note["when"],
                who=note["who"],
                corrected_voxels=note["corrected_voxels"],
                label=str(root / note["label"]),
            )
        )


def settle(run: Run, root: Path, decisions: Decisions, cases: Iterable[ReviewCase]) -> list[ReviewCase]:
    """Note down what a killed process has accepted; the cases that were."""
    found = list(_unsettled(run, root, decisions, cases))
    for case, note in found:
        note_down(run, root, decisions, case, note)
    return [case for case, _ in found]


def _unsettled(
    run: Run, root: Path, decisions: Decisions, cases: Iterable[ReviewCase]
) -> Iterator[tuple[ReviewCase, LabelNote]]:
    for case in cases:
        if case.kind == "new" or not note_path(root, case.name).is_file():
            continue
        with suppress(UserError, ValueError):  # a damaged note is told of when the case is accepted again
            note = read_json(note_path(root, case.name), LabelNote, "move it away")
            last = decisions.last.get(case.id)
            if not _is_of(run, root, case, note) or (last and _time(last["when"]) >= _time(note["when"])):
                continue
            if is_in_place(root, case.name, note["sha256"]):
                yield case, note


def _is_of(run: Run, root: Path, case: ReviewCase, note: LabelNote) -> bool:
    """Whether a label was accepted in a review of this run: another one of its name may lie in another folder.

    Where the folder is not noted, or gone, it is this run if the name and the weights that made the mask agree.
    """
    here, noted = run.folder.resolve(), note.get("run_folder")
    if noted is not None and ((place := (root / noted).resolve()) == here or place.is_dir()):
        return place == here
    weights = (note.get("prediction") or {}).get("weights_sha256")
    of_mask = case.mask.facts.get("weights_sha256") if case.mask else None
    return note["run"] == here.name and weights is not None and weights == of_mask


def _time(text: str) -> datetime:
    """Of a note or decision; ValueError where it is none."""
    return datetime.fromisoformat(text).astimezone()
