"""The whole job in Python: make data, check them, train, segment arrays and files, score, write a report.

    .venv/bin/python examples/train_and_predict.py OUT [STEPS]

OUT is a new folder. 600 steps, the default, take minutes on two CPU cores.
"""

import argparse
from pathlib import Path

from rich import print  # draws tables

import crossmatch


def main(out: Path, steps: int = 600) -> None:
    """Do all of it in the new folder `out`."""
    data, run = out / "data", out / "run"
    crossmatch.phantom.make_phantom(data, "heart", train=12, val=2, test=4)  # your own scans: docs/datasets.md
    print("warnings:", crossmatch.check(data).warnings or "none")

    # two of the twelve training cases have labels that are used; `recipes.recipe_names()` lists other recipes
    model = crossmatch.train("phantom", data, run, seed=1, train__steps=steps)
    print(model)

    # one scan, as an array
    scan = crossmatch.formats.read(data / "imagesTs" / "test000_0000.nii.gz")
    labels, probabilities = model.predict(scan.voxels, affine=scan.affine, probabilities=True)
    for name, value in model.labels.items():
        found = labels == value
        sure = probabilities[value][found].mean() if found.any() else 0.0
        print(f"{name}: {found.sum()} voxels, mean probability {sure:.2f}")

    # a folder of scans, as files; their scores, and a page that shows all of it
    model.predict_files(data / "imagesTs", run / "test")
    scores = crossmatch.evaluate(run / "test", data / "labelsTs", run / "test")
    print(scores.table())
    print("report:", crossmatch.report(run))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("steps", metavar="STEPS", type=int, nargs="?", default=600)
    main(**vars(parser.parse_args()))
