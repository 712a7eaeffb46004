"""What the page works with: the run's cases, what was decided, and the one case whose voxels are in memory."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.atomic import read_json, write_json
from crossmatch.errors import UserError
from crossmatch.formats import Array
from crossmatch.review.accepting import AcceptedLabel, LabelThereError, accept, label_of, who
from crossmatch.review.case_voxels import OpenCase, open_case
from crossmatch.review.decisions import FOLDER, Decision, Decisions, State
from crossmatch.review.elsewhere import folder_of
from crossmatch.review.found_masks import digests
from crossmatch.review.joining import join_dataset, remove_half_joined
from crossmatch.review.places import Places
from crossmatch.review.predicting import Predicting
from crossmatch.review.settling import note_down, settle
from crossmatch.review.shown_cases import Gathered, ReviewCase, gather, state_of
from crossmatch.review.thumbnails import Thumbnails, thumbnail
from crossmatch.runs.run import Run

LONGEST_DECISION = 60  # seconds that the end of the page waits for one to be written


class ChangedError(Exception):
    """The case is not as the page knew it, or has a label; the text says so and asks."""


class Desk:
    """All that the answers of the page are made from. Voxels of one case at a time are read and kept.

    Args:
        run: that is reviewed; root: of its dataset.
        masks: further folders of its predictions; scans: folders of new scans.
    """

    def __init__(self, run: Run, root: Path, masks: list[Path], scans: list[Path]) -> None:
        self.run, self.root = run, root
        self.places = Places([run.folder, root, *masks, *scans])
        self.decisions = Decisions(run.folder)
        self.predicting = Predicting(run, root)
        self._thumbnails = Thumbnails()
        self._named = masks, scans
        self._voxels = threading.Lock()  # one volume is read at a time
        self._writing = threading.Lock()  # one decision is made at a time
        self._open: OpenCase | None = None
        remove_half_joined(root)
        self.gathered = self._gather()
        for case in self.gathered.joined:
            self._hand_over_draft(case)
        for case in settle(run, root, self.decisions, self.gathered.cases.values()):
            self.drop_draft(case.id)

    def close(self) -> None:
        """Let a decision that is being written come to its end, however the page is ended; no other begins."""
        self._writing.acquire(timeout=LONGEST_DECISION)

    def _gather(self) -> Gathered:
        return gather(self.run, self.root, *self._named, self.places)

    @property
    def labels(self) -> dict[str, int]:
        """Name -> value of all that a label file may hold: `ignore` too, where the dataset has it."""
        return dict(self.gathered.dataset.drawn)

    def refresh(self) -> None:
        """Look for cases and masks again."""
        with self._writing:
            self.gathered = self._gather()
            self._open = None

    def case(self, ident: str) -> ReviewCase:
        """A case by the page's name for it.

        Raises:
            UserError: there is none.
        """
        found = self.gathered.cases.get(ident)
        if found is None:
            raise UserError(f"There is no case {ident[:200]} any more: load the list again.")
        return found

    @contextmanager
    def opened(self, ident: str) -> Iterator[OpenCase]:
        """The voxels of a case. Others wait meanwhile."""
        case = self.case(ident)
        with self._voxels:
            if self._open is None or self._open.case != case or self._open.state != case.state():
                self._open = None  # before the next is read
                self._open = open_case(self.run, self.labels, case, self.places)
            yield self._open

    def prediction(self, opened: OpenCase) -> Array | None:
        """The predicted mask, or None."""
        mask = opened.case.mask
        return None if mask is None else opened.label(self.places.checked(mask.path))

    def version(self, case: ReviewCase) -> str:
        """Changes whenever the case was decided, or its label or one of its images was written, by whomever."""
        decided = self.decisions.last.get(case.id)
        label = label_of(self.root, case.name) if case.kind != "new" else None
        text = f"{decided}|{label and label.name}|{label and state_of(label)}|{case.state()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def thumbnail(self, ident: str) -> bytes:
        """The small picture of a case."""
        case = self.case(ident)
        state = str(case.mask and state_of(case.mask.path))
        if (known := self._thumbnails.get(ident, state)) is not None:
            return known
        with self._voxels:
            opened = open_case(self.run, self.labels, case, self.places)  # the case in the viewer stays in memory
            made = thumbnail(opened, self.prediction(opened), self.run.data["slice_axis"])
        self._thumbnails.keep(ident, state, made)
        return made

    def keep_draft(self, ident: str, body: bytes) -> None:
        """Keep corrections that are not accepted yet."""
        with self.opened(ident) as opened:
            self._write_draft(opened, opened.received(body))

    def _write_draft(self, opened: OpenCase, labels: Array) -> None:
        path = self.draft_of(opened.case, opened.flat)
        formats.write(path, labels, like=opened.grid)
        write_json(_scan_of(path), digests(opened.case.images))

    def draft_of_another_scan(self, opened: OpenCase) -> bool:
        """Whether corrections are kept that were drawn on other files; earlier versions did not note on which."""
        path = self.draft_of(opened.case, opened.flat)
        if not (path.is_file() and _scan_of(path).is_file()):
            return False
        return read_json(_scan_of(path), list[str], "remove it and the corrections") != digests(opened.case.images)

    def draft_of(self, case: ReviewCase, flat: bool) -> Path:
        """Where corrections of a case are kept until it is decided."""
        name = folder_of(self.run.folder, case.id).name
        return (
            self.run.folder / FOLDER / "drafts" / f"{name}{formats.PICTURE_ENDING if flat else formats.DEFAULT_ENDING}"
        )

    def _hand_over_draft(self, new: ReviewCase) -> None:
        """Give corrections of a new scan to the case of the dataset that it became."""
        case = self.gathered.cases.get(f"unlabelled:{new.name}")
        for flat in (True, False):
            if case and (draft := self.draft_of(new, flat)).is_file() and not self.draft_of(case, flat).is_file():
                if _scan_of(draft).is_file():
                    _scan_of(draft).rename(_scan_of(self.draft_of(case, flat)))
                draft.rename(self.draft_of(case, flat))

    def drop_draft(self, ident: str) -> None:
        """Forget kept corrections."""
        for flat in (True, False):
            path = self.draft_of(self.case(ident), flat)
            path.unlink(missing_ok=True)
            _scan_of(path).unlink(missing_ok=True)

    def accept(self, ident: str, body: bytes, version: str, may_replace: bool) -> AcceptedLabel:
        """Write the mask as the label of its case.

        Raises:
            ChangedError: there is a label, or the case was decided elsewhere, or the mask is empty where nothing was
                predicted, and `may_replace` is False; or `version` is not the present one.
            UserError: it cannot be written; the corrections are kept as a draft.
        """
        with self._writing, self.opened(ident) as opened:
            labels = opened.received(body)
            case, predicted = opened.case, self.prediction(opened)
            empty = predicted is None and not labels.any()
            if version != self.version(case):
                raise ChangedError(self._changed(case, empty))
            if empty and not may_replace:
                raise ChangedError(f"{self._empty(case)} Accept it all the same?{self._there(case)}")
            try:
                if case.kind == "new":
                    opened = replace(opened, case=replace(case, images=join_dataset(self.root, case, opened.state)))
                written = accept(
                    *(self.run, self.root, opened, labels, predicted),
                    replace=may_replace,
                    when=_now(),
                    places=self.places,
                )
            except LabelThereError:
                there = f"{case.name} has a label, {label_of(self.root, case.name)}."
                raise ChangedError(f"{there} Replace it? The old one is kept in {self.root / FOLDER}.") from None
            except UserError:
                self._write_draft(opened, labels)
                raise
            self.drop_draft(ident)
            note_down(self.run, self.root, self.decisions, case, written.note)  # last: it says that all is done
        return written

    def decide(self, ident: str, state: State, version: str) -> None:
        """Reject a prediction, or take a rejection back."""
        with self._writing:
            case = self.case(ident)
            if version != self.version(case):
                raise ChangedError(self._changed(case, empty=False))
            self.decisions.add(Decision(id=ident, state=state, when=_now(), who=who()))

    def _empty(self, case: ReviewCase) -> str:
        return (
            f"{case.name} has no prediction, and nothing is drawn. As a label this says that none of the classes is in "
            "the scan."
        )

    def _there(self, case: ReviewCase) -> str:
        """What happens to a label that is there; empty where none is."""
        old = label_of(self.root, case.name) if case.kind != "new" else None
        return "" if old is None else f" The mask replaces the label {old}, which is kept in {self.root / FOLDER}."

    def _changed(self, case: ReviewCase, empty: bool) -> str:
        decided = self.decisions.last.get(case.id)
        told = f" It is {decided['state']} since {decided['when']}, by {decided['who']}." if decided else ""
        nothing = f" {self._empty(case)}" if empty else ""
        return (
            f"{case.name} has changed since this page opened it: another page or program decided on it, or wrote "
            f"its scan or label.{told}{nothing} Go on all the same?{self._there(case)}"
        )


def _scan_of(draft: Path) -> Path:
    """Where the digests of the scan are kept that corrections were drawn on."""
    return draft.parent / f"{formats.stem(draft)}.json"


def dice_of(prediction: Array, reference: Array, value: int, ignore: int | None) -> float | None:
    """Dice of one class where the reference does not say to ignore; None where neither has it."""
    counted = reference != (-1 if ignore is None else ignore)
    ours, theirs = (prediction == value) & counted, reference == value
    total = int(np.count_nonzero(ours)) + int(np.count_nonzero(theirs))
    return 2 * int(np.count_nonzero(ours & theirs)) / total if total else None


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
