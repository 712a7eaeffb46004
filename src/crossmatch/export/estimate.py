"""Segment scans as infer.py does, and estimate the Dice of each mask: OUT/quality.csv, beside the masks.

    python estimate.py INPUT OUT    as infer.py

An estimate comes from how sure the network is at the borders of its mask, by constants in model.json under "quality".
Those were fitted on cases whose Dice is known. In Python: `WatchedModel().labels(...)`, then `.estimates()`.
Shapes: B images, K classes, L classes without background, *P what the network takes.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from crossmatch.export.infer import ExportedModel, command, main
from crossmatch.export.infer_cases import SCAN

COLUMNS = ("case", "class", "dice", "low", "high", "border_entropy")
CERTAIN = (0.01, 0.99)  # certainties beyond these are taken for the ends
SHOWN = 5  # cases that are printed


class WatchedModel(ExportedModel):
    """An exported model that counts, while it makes a mask, how sure it is at the mask's borders."""

    def __init__(self, folder: Any = None, network: Any = None, threads: int = 0) -> None:
        super().__init__(folder, network, threads)
        if self.about["quality"] is None:
            raise ValueError("model.json has no calibration of quality: see docs/export.md of crossmatch")
        self.unwatched, self.network = self.network, self.watched

    def watched(self, images: Any) -> Any:
        """Images (B, C, *P) -> probabilities (B, K, *P), float32; adds up the entropy where their classes meet."""
        maps = self.unwatched(images)
        own, count = maps.argmax(1), maps.shape[1]
        border = np.zeros(own.shape, bool)
        for axis in range(1, own.ndim):
            meet = np.diff(own, axis=axis) != 0
            for ends in ((0, 1), (1, 0)):
                border |= np.pad(meet, [ends if k == axis else (0, 0) for k in range(own.ndim)])
        at_border = np.moveaxis(maps, 1, -1)[border]
        entropy = -(at_border * np.log(np.maximum(at_border, 1e-30))).sum(-1) / np.log(count)
        for row, weights in zip(self.counted, (entropy, None), strict=True):
            row += np.bincount(own[border], weights, count)
        return maps

    def labels(self, channels: list[Any]) -> Any:
        """As `ExportedModel.labels`."""
        self.counted = np.zeros((2, len(self.about["classes"])))  # entropy, and voxels at borders
        found = super().labels(channels)
        self.voxels = np.bincount(found.ravel(), minlength=len(self.about["classes"]))
        return found

    def estimates(self) -> list[tuple[Any, ...]]:
        """Of the last mask: (class, Dice, low, high, entropy at the border), first of the mean over classes.

        NaN where nothing is known, as of a class that was not found. Where every labelled case has it, its Dice is 0.
        """
        fitted, (entropy, at_border) = self.about["quality"], self.counted
        places, values = zip(*fitted["knots"], strict=True)
        unsure = [min(1.0, entropy[k] / n) if (n := at_border[k]) else np.nan for k in range(1, len(entropy))]
        dice: list[float] = []
        facts = zip(unsure, fitted["shifts"], self.voxels[1:], fitted["always"], strict=True)
        for share, shift, found, always in facts:
            certain = np.clip(1 - share, *CERTAIN)
            moved = 1 / (1 + np.exp(-(np.log(certain / (1 - certain)) + shift)))
            known = found and not np.isnan(share)
            dice.append(np.interp(moved, places, values) if known else 0.0 if always and not found else np.nan)
        names = ["mean", *(each["name"] for each in self.about["classes"][1:])]
        *widths, width = fitted["half_widths"]
        rows = zip(names, [mean(dice), *dice], [mean(unsure), *unsure], [width, *widths], strict=True)
        return [(name, one, *np.clip([one - off, one + off], 0, 1), share) for name, one, share, off in rows]


def mean(values: list[float]) -> float:
    """Of what is known; NaN where nothing is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else np.nan


def segment_and_estimate(source: Path, out: Path) -> None:
    """Write the masks, and quality.csv with what is known of those that were made."""
    model, rows, table = WatchedModel(), list[tuple[Any, ...]](), out / "quality.csv"
    if table.exists():
        raise ValueError(f"{table} exists already: name another folder; nothing was overwritten")

    def note(mask: Path) -> None:
        match = SCAN.fullmatch(mask.name)
        case = mask.name.removesuffix(match[3]) if match else mask.name
        rows.extend((case, *row) for row in model.estimates())

    try:
        main(source, out, model, note)
    finally:
        if rows:
            with table.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(COLUMNS)
                for case, name, *numbers in rows:
                    names = [f"'{text}" if text[0] in "=+-@\t\r" else text for text in (case, name)]  # no formulas
                    writer.writerow([*names, *("" if np.isnan(each) else f"{each:.6g}" for each in numbers)])
        expected = sorted((dice, case) for case, name, dice, *_ in rows if name == "mean" and not np.isnan(dice))
        for dice, case in expected[:SHOWN]:
            print(f"{case}: expected Dice {100 * dice:.0f} %")


if __name__ == "__main__":
    command(segment_and_estimate, __doc__)
