"""Draw docs/images/phantom_skin.jpg: seven pictures of the skin phantom, below each the same with its label.

python docs/make_skin_picture.py
"""

from pathlib import Path

import matplotlib
import numpy as np

from crossmatch.phantom.skin import draw_case

COLUMNS, SEED = 7, 7


def main() -> None:
    """Draw the picture beside this file."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, COLUMNS, figsize=(14, 4), layout="constrained")
    for index in range(COLUMNS):
        rng = np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(0, index + 2)))
        image, label, _ = draw_case(rng)
        for axis in axes[:, index]:
            axis.imshow(image.T, aspect="auto")
            axis.set_axis_off()
        axes[1, index].contour(label.T, [0.5], colors=["#00e5ff"], linewidths=1.5)
    figure.savefig(Path(__file__).parent / "images" / "phantom_skin.jpg", dpi=70, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()
