"""Synthetic datasets, for demonstrations, tests and quick comparisons without patient data.

`make_phantom` writes a dataset of one of `KINDS`. `draw_case` draws one patient of the kind "heart": a short-axis
cardiac MR volume of RV, myocardium and LV. Arrays are (x, y, z) in the file's order, slices along z. What a seed draws
changes only together with `PHANTOM_VERSION`.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from crossmatch import formats
from crossmatch.atomic import new_folder
from crossmatch.errors import UserError
from crossmatch.phantom import atrium, skin
from crossmatch.phantom.folder import PhantomKind, pictures, volumes, write_dataset
from crossmatch.phantom.heart_anatomy import Floats, draw_heart, heart_borders, paint_chest, paint_heart
from crossmatch.phantom.styles import HEART_STYLES, HeartStyle

PHANTOM_VERSION = 1
MAX_MYO_SHARE = 0.72
"""Myocardium is never brighter than this share of the left ventricle's blood: the border stays visible."""
LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}


def draw_case(
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Draw one synthetic patient: image and label, both (x, y, z), and the affine (4, 4) from voxels to mm.

    In-plane 76 to 110 pixels of 1.4 to 1.8 mm, 6 to 9 slices 8 to 10 mm apart. Labels as in `LABELS`.
    """
    heart = draw_heart(rng)
    pixel_mm, step_mm = rng.uniform(1.4, 1.8), rng.uniform(8.0, 10.0)
    nx, ny = rng.integers(76, 110, 2)
    ny += nx == ny
    first, last = rng.uniform(-0.13, 0.1), rng.uniform(0.86, 1.1)
    slices = int(np.clip(round((last - first) * heart.length / step_mm) + 1, 6, 9))
    s = (first + np.arange(slices) * step_mm / heart.length).astype(np.float32)[None, None]
    # The heart lies off-centre wherever it roughly fits; each breath-hold shifts a slice a little.
    extent = np.array([nx, ny]) * pixel_mm
    centre = rng.uniform(-1, 1, 2) * np.clip(extent / 2 - 48, 4, None) + 12 * np.array([np.cos(heart.turn), 0.3])
    sway = rng.normal(0, 1.0, (2, slices))
    x = (((np.arange(nx) + 0.5) * pixel_mm - extent[0] / 2 - centre[0])[:, None, None] - sway[0]).astype(np.float32)
    y = (((np.arange(ny) + 0.5) * pixel_mm - extent[1] / 2 - centre[1])[None, :, None] - sway[1]).astype(np.float32)
    borders = heart_borders(heart, x, y, s)
    style = tuple(HEART_STYLES.values())[rng.integers(len(HEART_STYLES))]
    grey = draw_grey(rng, style)
    image = paint_chest(rng, grey, x, y, s, heart.endo + heart.wall)
    paint_heart(rng, image, grey, heart, borders, s)
    return (
        degrade(rng, image, style),
        borders.label(),
        draw_affine(rng, (nx, ny, slices), (pixel_mm, pixel_mm, step_mm)),
    )


def draw_grey(rng: np.random.Generator, style: HeartStyle) -> dict[str, float]:
    """Draw the tissues' grey values for one case of a scanner style."""
    blood = rng.uniform(*style.blood)
    myo = min(rng.uniform(*style.myo), MAX_MYO_SHARE * blood)
    return {
        "lv": blood,
        "rv": blood * rng.uniform(0.78, 1.12),
        "myo": myo,
        "rim": myo * rng.uniform(0.8, 1.2),
        "fat": rng.uniform(*style.fat),
        "liver": rng.uniform(*style.liver),
        "lung": rng.uniform(*style.lung),
        "muscle": myo * rng.uniform(0.7, 1.3),
    }


def degrade(rng: np.random.Generator, image: Floats, style: HeartStyle) -> npt.NDArray[np.int16]:
    """Turn clean grey values (x, y, z) into an acquired image: texture, bias, blur, ghosts, Rician noise, integers."""
    nx, ny, slices = image.shape

    def smooth_noise(sigma: float) -> Floats:
        noise = ndimage.gaussian_filter(rng.standard_normal(image.shape, np.float32), (sigma, sigma, 0.3))
        return np.asarray(noise / noise.std(), np.float32)

    image = image * (1 + rng.uniform(0.02, 0.06) * smooth_noise(3.0) + rng.uniform(0.02, 0.07) * smooth_noise(1.0))
    u, v = (
        np.linspace(-1, 1, nx, dtype=np.float32)[:, None, None],
        np.linspace(-1, 1, ny, dtype=np.float32)[None, :, None],
    )
    terms = (
        np.stack(np.broadcast_arrays(u, v, u * v, u**2 - 0.3, v**2 - 0.3)) * rng.normal(0, 1, 5)[:, None, None, None]
    )
    field = terms.sum(axis=0)
    gain = np.exp(rng.uniform(*style.bias) * field / np.abs(field).max() + rng.normal(0, 0.05, slices))
    image = np.clip(image * gain, 0, None) ** rng.uniform(*style.gamma)
    blur = rng.uniform(*style.blur)
    image = ndimage.gaussian_filter(image, (blur, blur, 0))
    if rng.random() < 0.5:  # motion ghosts: a weak copy along the phase-encoding direction
        axis = int(rng.integers(2))
        copy = np.roll(image, round(image.shape[axis] * rng.uniform(0.25, 0.5)), axis)
        image = image + rng.uniform(0.02, 0.08) * copy
    sigma = rng.uniform(*style.noise)
    real, imaginary = sigma * rng.standard_normal((2, *image.shape), np.float32)
    full_scale = np.exp(rng.uniform(np.log(200), np.log(3000)))
    volume: npt.NDArray[np.int16] = np.round(full_scale * np.hypot(image + real, imaginary)).astype(np.int16)
    return volume


def draw_affine(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> npt.NDArray[np.float64]:
    """Draw an oblique short-axis orientation (a proper rotation) and a position near the scanner's centre."""
    affine = np.eye(4)
    turns = rng.uniform([-20, 20, 20], [20, 60, 60])
    affine[:3, :3] = Rotation.from_euler("zxy", turns, degrees=True).as_matrix() * spacing_mm
    affine[:3, 3] = rng.uniform(-40, 40, 3) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


KINDS = {
    "heart": PhantomKind(
        write=volumes(draw_case),
        labels=LABELS,
        name="Phantom",
        description=f"Synthetic short-axis cardiac MR, generator version {PHANTOM_VERSION}",
        label_counts=(1, 2, 3),
    ),
    "atrium": PhantomKind(
        write=volumes(atrium.draw_case),
        labels=atrium.ATRIUM_LABELS,
        name="Atrium phantom",
        description=f"Synthetic MR of the left atrium, generator version {atrium.ATRIUM_VERSION}",
        label_counts=(1, 2, 4),
    ),
    "skin": PhantomKind(
        write=pictures(skin.draw_case),
        labels=skin.SKIN_LABELS,
        name="Skin phantom",
        description=f"Synthetic dermoscopy in colour, generator version {skin.SKIN_VERSION}",
        label_counts=(5, 10, 20),
        counts=(100, 20, 50),
        stated={"channel_names": {"0": "red", "1": "green", "2": "blue"}},
        ending=formats.PHOTO_ENDING,
    ),
}
# recipe -> the kind of phantom that it is made for
PHANTOMS = {"phantom": "heart", "phantom3d": "atrium", "skin": "skin"}


def make_phantom(
    root: Path | str,
    kind: str = "heart",
    train: int | None = None,
    val: int | None = None,
    test: int | None = None,
    seed: int = 0,
) -> dict[str, int]:
    """Write a phantom dataset: one case a patient, named train000, val000, test000 and so on.

    Every case has a random stream of its own, from (seed, split, index): with more cases the first ones stay the same.

    Args:
        root: a new or empty folder.
        kind: one of `KINDS`, which also says for which N there are lists `splits/train_N_label.txt`.
        train, val, test: numbers of cases. None: as many as the kind usually has.
        seed: of all cases.

    Returns:
        The numbers of cases of ``train``, ``val`` and ``test``.

    Raises:
        UserError: `root` is not empty, the kind is unknown, or a count is impossible.
    """
    if kind not in KINDS:
        raise UserError(f"There is no phantom of kind {kind!r}: the kinds are {', '.join(KINDS)}.")
    usual = dict(zip(("train", "val", "test"), KINDS[kind].counts, strict=True))
    asked = {"train": train, "val": val, "test": test}
    counts = {split: usual[split] if number is None else number for split, number in asked.items()}
    if counts["train"] < 1 or min(*counts.values(), seed) < 0:
        stated = ", ".join(f"{split}={number}" for split, number in counts.items())
        raise UserError(
            f"A phantom cannot be made of {stated}, seed={seed}: ask for one training case or more, and for nothing "
            "below 0."
        )
    with new_folder(Path(root)) as folder:
        write_dataset(folder, KINDS[kind], counts, seed)
    return counts
