"""Files as bytes in memory, for pages that hold or serve pictures and volumes.

Shapes: pixels (h, w) grey or (h, w, 3) in colours, rows downwards; voxels (*S) in the file's axis order.
"""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from crossmatch.formats.registry import write
from crossmatch.formats.volume import Array, Volume


def picture_bytes(pixels: Array, quality: int | None = None) -> bytes:
    """A picture as a PNG file, or with a quality (0 to 100) as a JPEG file.

    Args:
        pixels: uint8.
    """
    from PIL import Image

    file = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if quality is None:
        picture.save(file, format="PNG", optimize=True)
    else:
        picture.save(file, format="JPEG", quality=quality)
    return file.getvalue()


def file_bytes(voxels: Array, like: Volume, ending: str) -> bytes:
    """What `write` would write into a file of this ending."""
    with TemporaryDirectory(prefix="crossmatch-") as folder:
        path = Path(folder) / f"voxels{ending}"
        write(path, voxels, like)
        return path.read_bytes()
