"""Predictions without a reference: a table of them, and pictures of three.

Where `predict --quality` estimated their Dice, the best, the middle and the worst are shown. Else nobody knows how good
they are; then those with the largest, the middle and the smallest predicted volume are shown, and the page says so.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.atomic import read_json
from crossmatch.errors import UserError, listed
from crossmatch.inference.estimates import CaseQuality
from crossmatch.inference.quality_record import QualityRecord, read_quality
from crossmatch.reports.cases import case_row, ranked_choice
from crossmatch.reports.labelled_scans import labelled_scans, told_of_labelled
from crossmatch.reports.other_weights import other_weights
from crossmatch.reports.overlays import unscored_figures
from crossmatch.reports.renderings import prediction_surfaces
from crossmatch.reports.scans import ORIGIN, images_of_dataset, open_scan, recorded_scans, scan_file
from crossmatch.reports.tables import estimates_table, volumes_table
from crossmatch.reports.viewer import Viewer
from crossmatch.runs.run import Run
from crossmatch.scoring.recorded_files import rewritten_scans
from crossmatch.scoring.stored import Prediction

MOST_READ = 200  # masks whose volume is measured; of more, so many are taken evenly over the list
OPEN_CASES = 12  # longer tables start folded


class Unscored:
    """The masks of a folder that no reference was compared with.

    Attributes:
        folder, masks: where they lie; case -> file.
        quality: their estimates, where there are any.
        known: case -> training or validation, where the run has used the label of its scan.
        notes: sentences about what is missing, and about what made the masks if it is not the run as it is now.
    """

    def __init__(self, run: Run, folder: Path, scored: Sequence[str] = ()) -> None:
        """Look for the masks. Those of a run with other classes are left out.

        Args:
            run: whose page it is; folder: where they lie; scored: cases that have a reference.

        Raises:
            UserError: quality.json or prediction.json is damaged.
        """
        self.run, self.folder, self.notes = run, folder, list[str]()
        self.labels = {name: value for name, value in run.data["labels"].items() if value}
        found = dict(formats.files_in(folder)) if folder.is_dir() else {}
        self.masks = {case: path for case, path in found.items() if case not in scored}
        made = _made(folder) if self.masks else Prediction()
        self._refuse_other_classes(made)
        self.known = labelled_scans(run, made, folder, list(self.masks))
        if self.masks and (other := other_weights(run, made)):
            self.notes.append(f"The masks in {folder.name} were made {other.told}.")
        if changed := rewritten_scans(self.masks):
            told = f"Scans written since masks in {folder.name} were made of them ({len(changed)}): {listed(changed)}"
            self.notes.append(f"{told}. Predict again.")
        self.quality = read_quality(folder) if self.masks else None
        if self.quality is not None and not self.estimated(self.quality):
            self.notes += [f"{case} has no estimate: {why}" for case, why in self.quality.outdated.items()]
            self.quality = None

    def _refuse_other_classes(self, made: Prediction) -> None:
        """Leave all masks out if other classes are in them than the run has."""
        own, theirs = self.run.data["labels"], made.get("data", {}).get("labels")
        if theirs is None or theirs == own:
            return
        classes = " against ".join(listed(f"{value} {name}" for name, value in each.items()) for each in (theirs, own))
        self.notes.append(
            f"Masks in {self.folder} ({len(self.masks)}) are not shown: {made.get('run', 'another run')} made them, "
            f"whose classes have other names or numbers ({classes})."
        )
        self.masks = {}

    def estimated(self, quality: QualityRecord) -> dict[str, CaseQuality]:
        """The estimates of these masks that hold, best first."""
        return {case: quality.cases[case] for case in reversed(quality.worst_first()) if case in self.masks}

    def section(self, viewer: Viewer | None = None) -> tuple[str, dict[str, str], str]:
        """How the pictures were chosen, as HTML, case -> its pictures, and the table."""
        if not self.masks:
            return self._notices(), {}, ""
        chosen, told, table = self._by_quality(self.quality) if self.quality else self._by_volume()
        pictures: dict[str, str] = {}
        recorded = recorded_scans(self.folder)
        for case, (reason, flags) in chosen.items():
            try:
                row = self._pictures(case, recorded, viewer)
            except UserError as error:
                self.notes.append(f"No picture of {case} ({reason}): {error}")
            else:
                warned = f'<p class="notice">{"<br>".join(map(escape, flags))}</p>' if flags else ""
                pictures[case] = case_row(
                    f"{reason[0].upper()}{escape(reason[1:])}: <b>{escape(case)}</b>", warned + row
                )
        self.notes += told_of_labelled(self.known, len(self.masks))
        folded = "" if len(self.masks) > OPEN_CASES else " open"
        table = f'<details{folded}><summary>Each case</summary><div class="scroll">{table}</div></details>'
        return f'<p class="aside">{escape(told)}</p>{self._notices()}', pictures, table

    def _notices(self) -> str:
        return "".join(f'<p class="notice">{escape(note)}</p>' for note in self.notes)

    def _chosen(self, ranked: Sequence[str], names: tuple[str, str, str]) -> dict[str, str]:
        """Case -> why it is shown, of those whose label the run has not used."""
        new = [case for case in ranked if case not in self.known]
        return ranked_choice(new, names) if new else {}

    def _by_quality(self, quality: QualityRecord) -> tuple[dict[str, tuple[str, list[str]]], str, str]:
        cases = self.estimated(quality)
        reasons = self._chosen(list(cases), ("best", "middle", "worst"))
        chosen = {
            case: (f"{why} by estimate, {estimate_text(cases[case])}", cases[case]["flags"])
            for case, why in reasons.items()
        }
        level = f"in {100 * quality.calibration['level']:.0f} of 100 cases the true Dice lies in the interval"
        known = quality.calibration["method"] != "none"
        told = (
            f"{_masks(len(self.masks))} in {self.folder.name}, without a reference. Their Dice is estimated from how "
            f"well several decodings of each scan agree{f'; {level}' if known else ''}. {quality.calibration['told']} "
            "Flagged cases come last."
        )
        self.notes += [f"{case} has no estimate: {why}" for case, why in quality.outdated.items()]
        if without := [case for case in self.masks if case not in cases and case not in quality.outdated]:
            self.notes.append(f"Without an estimate ({len(without)}): {listed(without)}.")
        return chosen, told, estimates_table(cases, self.labels, self.known)

    def _by_volume(self) -> tuple[dict[str, tuple[str, list[str]]], str, str]:
        cases = list(self.masks)
        taken = cases if len(cases) <= MOST_READ else [cases[n * len(cases) // MOST_READ] for n in range(MOST_READ)]
        counts: dict[str, dict[str, float]] = {}
        sizes: dict[str, float | None] = {}  # of a voxel, ml
        for case in taken:
            try:
                mask = formats.read(self.masks[case])
            except UserError as error:
                self.notes.append(f"{case} is left out: {error}")
                continue
            counts[case] = {name: float(np.count_nonzero(mask.voxels == value)) for name, value in self.labels.items()}
            sizes[case] = float(np.prod(mask.spacing_mm)) / 1000 if mask.spacing_mm and len(mask.shape) == 3 else None
        unit = "voxels" if None in sizes.values() else "ml"
        volumes = {
            case: {name: count * (sizes[case] or 1) if unit == "ml" else count for name, count in found.items()}
            for case, found in counts.items()
        }
        ranked = sorted(volumes, key=lambda case: (-sum(volumes[case].values()), case))
        reasons = self._chosen(ranked, ("largest volume", "middle volume", "smallest volume"))
        part = f" Of {len(cases)} masks, {len(taken)} were measured." if len(taken) < len(cases) else ""
        told = (
            f"{_masks(len(cases))} in {self.folder.name}, without a reference and without an estimated quality, so "
            "it is not known how good they are. Those with the largest, the middle and the smallest volume are "
            f"shown: what went wrong is often too large or too small.{part} `crossmatch predict --quality` estimates "
            "the Dice of each mask."
        )
        table = volumes_table({case: volumes[case] for case in ranked}, self.labels, unit, self.known)
        return {case: (why, []) for case, why in reasons.items()}, told, table

    def _pictures(self, case: str, recorded: dict[str, list[Path]], viewer: Viewer | None) -> str:
        run = self.run
        if case in recorded:
            files: Sequence[Path] = [scan_file(recorded[case])]
        else:
            files = images_of_dataset(Path(run.data["root"]), case)
        scan = open_scan(files, run.frame)
        mask = scan.mask(self.masks[case], run.data["labels"])
        flat = run.recipe.dims == 2
        slices = unscored_figures(scan.image, mask, self.labels, run.data["slice_axis"] if flat else None)
        place = "" if viewer is None else viewer.add(case, scan.image, {"prediction": mask})
        shown = f'{place}<div class="slices">{"".join(slices)}</div>'
        return shown if flat else shown + prediction_surfaces(scan.image, mask, self.labels)


def estimate_text(case: CaseQuality) -> str:
    """``estimated Dice 81 % (70 to 88 %)``, or the agreement where there is no calibration."""
    if case["dice"] is None:
        return f"agreement {_percent(case['agreement'])}"
    interval = "" if case["low"] is None else f" ({100 * case['low']:.0f} to {_percent(case['high'])})"
    return f"estimated Dice {_percent(case['dice'])}{interval}"


def _made(folder: Path) -> Prediction:
    """What prediction.json says; nothing where there is none."""
    path = folder / ORIGIN
    return read_json(path, Prediction, "predict again into another folder") if path.is_file() else {}


def _masks(count: int) -> str:
    return f"{count} mask{'s' * (count > 1)}"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.0f} %"
