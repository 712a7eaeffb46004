"""Pictures for the infer.py beside this file, read and written with Pillow."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.Image import Transpose

_ORIENTATION = 274  # tag of EXIF: how the camera was held
_BACK = {  # value of it -> what undoes the turn
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def segment_picture(model: Any, paths: list[Path], target: Path) -> None:
    """Write the mask of a picture, or of several that are the channels of one, as PNG.

    Args:
        model: an `ExportedModel` of infer.py.
        paths: of the picture, or of each channel.
        target: of the mask; it holds labels, 0 for background.

    Raises:
        ValueError: several pictures in a file, pixels that are transparent, or what the model refuses.
    """
    channels: list[Any] = []
    for path in paths:
        with Image.open(path) as opened:
            if opened.format != "MPO" and (count := getattr(opened, "n_frames", 1)) > 1:
                raise ValueError(f"{count} pictures in one file: save each as a file of its own")
            image = ImageOps.exif_transpose(opened)
        if image.has_transparency_data and np.asarray(image.convert("RGBA"))[:, :, 3].min() < 255:
            raise ValueError("transparent pixels, whose values nobody sees: save the picture without an alpha channel")
        grey = image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")
        image = image.convert("L" if grey else "RGB") if image.mode in ("1", "LA") or not grey else image
        channels += [(v.T, None, None) for v in np.moveaxis(np.asarray(image).reshape(*image.size[::-1], -1), 2, 0)]
    mask, note = Image.fromarray(np.ascontiguousarray(model.labels(channels).T)), Image.Exif()
    with Image.open(paths[0]) as opened:
        turn = opened.getexif().get(_ORIENTATION)
    if turn in _BACK:  # the mask is stored as its picture is, with the same note
        mask, note[_ORIENTATION] = mask.transpose(_BACK[turn]), turn
    mask.save(target, exif=note)
