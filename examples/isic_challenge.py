"""Masks of `crossmatch predict` as the ISIC challenge and its scorer take them: PNG files of 0 and 255.

    .venv/bin/python examples/isic_challenge.py MASKS SUBMISSION
    .venv/bin/python -m isic_challenge_scoring segmentation ISIC2018_Task1_Test_GroundTruth SUBMISSION

MASKS is a folder of masks, such as runs/isic_26/test; SUBMISSION a new folder. The scorer is the package
isic-challenge-scoring 5.6.
"""

import argparse
from pathlib import Path

import numpy as np

from crossmatch import formats


def main(masks: Path, submission: Path) -> None:
    """Write each mask under the challenge's name."""
    found = list(formats.files_in(masks))
    for case, path in found:
        mask = formats.read_label(path)
        formats.write(submission / f"{case}_segmentation.png", 255 * (mask.voxels > 0).astype(np.uint8), like=mask)
    print(f"{len(found)} masks in {submission}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("masks", metavar="MASKS", type=Path)
    parser.add_argument("submission", metavar="SUBMISSION", type=Path)
    main(**vars(parser.parse_args()))
