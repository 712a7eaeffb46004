"""The picture and the table of the README, and the scores behind both, from one finished demonstration:

    crossmatch demo demo
    python docs/make_overview.py demo docs/images/overview.png

writes the picture, docs/results/phantom/seed0.json and the rows of the table in README.md, so that all three agree (a
test compares them). Figures depend on the number of threads; those in the README are of two.

One held-out phantom: the scan, then the masks of supervised learning, of CrossMatch and of the reference, with the Dice
of this case. The case is the one with the median gain of CrossMatch (the lower of the middle two), the slice the
middle one of those with a label. No patient is shown.
"""

import json
import re
import statistics
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from crossmatch import formats
from crossmatch.reports.renderings import picture_colour

ROOT = Path(__file__).resolve().parent.parent
SCORES = Path("docs") / "results" / "phantom" / "seed0.json"
CLASSES = 3  # RV, myocardium, LV, in the colours of a report's pictures
OPACITY = 0.55


def main(demo: Path, picture: Path) -> None:
    """Draw the picture from the folder of `crossmatch demo`."""
    results = json.loads((demo / "demo.json").read_text(encoding="utf-8"))["methods"]
    before, after = (results[method]["cases"] for method in ("supervised", "crossmatch"))
    gains = {case: after[case] - before[case] for case in before}
    case = next(name for name, gain in gains.items() if gain == statistics.median_low(gains.values()))
    scan = formats.read(demo / "data" / "imagesTs" / f"{case}_0000.nii.gz")
    reference = formats.read(demo / "data" / "labelsTs" / f"{case}.nii.gz").voxels
    masks = {
        f"supervised: Dice {100 * before[case]:.0f}": formats.read(demo / "supervised/test" / f"{case}.nii.gz").voxels,
        f"CrossMatch: Dice {100 * after[case]:.0f}": formats.read(demo / "crossmatch/test" / f"{case}.nii.gz").voxels,
        "reference": reference,
    }
    labelled = np.flatnonzero(reference.any((0, 1)))
    level = int(labelled[len(labelled) // 2])
    grey = scan.voxels[..., level].T
    figure = Figure(figsize=(12, 2.75), layout="constrained")
    panels = figure.subplots(1, 4)
    for panel, (title, mask) in zip(panels, [("scan", np.zeros_like(reference)), *masks.items()], strict=True):
        panel.imshow(grey, cmap="gray", vmin=np.percentile(grey, 1), vmax=np.percentile(grey, 99))
        panel.imshow(_coloured(mask[..., level].T), interpolation="nearest")
        panel.set_title(title, fontsize=14)
        panel.axis("off")
    figure.savefig(picture, dpi=100)
    print(f"{picture}: {case}, slice {level + 1} of {reference.shape[2]}")


def keep(demo: Path, root: Path) -> None:
    """Copy the scores into a checkout, and write them into the table of its README."""
    stored = (demo / "demo.json").read_text(encoding="utf-8")
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    for method, row in table_rows(json.loads(stored)["methods"]).items():
        text, count = re.subn(rf"(?m)^│ {method} .*│$", row, text)
        if count != 1:
            raise ValueError(f"{readme} has {count} rows of {method}, not one")
    (root / SCORES).write_text(stored, encoding="utf-8")
    readme.write_text(text, encoding="utf-8")


def table_rows(results: dict[str, dict]) -> dict[str, str]:
    """Method -> its row of the table that the demonstration prints: Dice in percent of each class, then the mean."""
    return {
        method: f"│ {method} │ "
        + " │ ".join(f"{100 * dice:.1f}" for dice in [*found["classes"].values(), found["dice"]])
        + " │"
        for method, found in results.items()
    }


def _coloured(mask: np.ndarray) -> np.ndarray:
    """Labels (h, w) -> RGBA (h, w, 4), transparent where there is no label."""
    colours = np.zeros((CLASSES + 1, 4))
    for place in range(CLASSES):
        colours[place + 1] = (*picture_colour(f"c{place}"), OPACITY)
    return colours[mask.astype(int)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    keep(Path(sys.argv[1]), ROOT)
