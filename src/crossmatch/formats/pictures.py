"""PNG, JPEG, TIFF and BMP: one picture a file, grey or in colours, through Pillow.

Shapes: (x, y) = (column, row). Pictures have no place in the world and no known spacing: the resolution that some name
is that of a printer or a screen.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from crossmatch.errors import UserError
from crossmatch.formats import tiff_pixels
from crossmatch.formats.volume import Array, Grid, Volume, new_volume

if TYPE_CHECKING:
    from PIL.Image import Image

NAME = "PNG, JPEG, TIFF or BMP"
ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
WRITTEN = (".png",)  # the others blur labels, or are read by fewer programs
PLACED, CHANNELS, MAPS = False, True, False
DAMAGED = (
    *(OSError, EOFError, ValueError, SyntaxError, LookupError, TypeError, AttributeError, OverflowError),
    *(struct.error, zlib.error, UserWarning),
)

MAX_PIXELS = 89_478_485  # of a picture, about 9,459 x 9,459: from here on Pillow suspects a decompression bomb
_GREY_MODES = {"1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I", "F"}
_MODES = _GREY_MODES | {"P", "PA", "RGB", "RGBA"}
_ORIENTATION = 274  # tag of EXIF: how the camera was held
SWAPPED = (5, 6, 7, 8)  # values of it that swap columns and rows
_BACK = {6: 8, 8: 6}  # the value that undoes another, where it is not the same
_STEPS = {"L;2": 85, "L;4": 17, "L;2I": 85, "L;4I": 17}  # by which Pillow spreads 2 and 4 bits over 0 to 255


def read(path: Path) -> list[Volume]:
    """The channels of a picture: one of a grey picture; red, green and blue of one in colours.

    Grey values are as stored: uint8, uint16, or what TIFF holds beyond (int8, int32, uint32, float32). The turn that a
    camera noted (EXIF) is applied. A palette of greys makes a grey picture, any other one gives colours. An alpha
    channel is dropped where it is opaque everywhere. Of a telephone's JPEG that holds a preview, the picture itself is
    read.

    Raises:
        UserError: several pictures in the file, colours other than RGB of 8 bits, transparent pixels, more than
            `MAX_PIXELS`.
    """
    with _opened(path) as picture:
        if picture.format == "PNG":
            picture.verify()  # checksums to the end of the file, which reading the pixels passes over
    with _opened(path) as picture:
        if _channels(picture) == 1:
            return [_volume(picture, _grey(path, picture))]
        transparent = picture.has_transparency_data
        colours = np.asarray(picture.convert("RGBA" if transparent else "RGB"))
        if transparent:
            _check_opaque(path, colours[:, :, 3])
        channels = [_volume(picture, colours[:, :, n]) for n in range(3)]
        return [replace(one, voxels=np.ascontiguousarray(one.voxels)) for one in channels]


def read_grid(path: Path) -> Grid:
    """Size and number of channels, without the pixels."""
    with _opened(path) as picture:
        across, down = picture.size
        if picture.format == "TIFF":  # Pillow has turned the size of these, and of these alone
            tags = getattr(picture, "tag_v2", {})
            across, down = tags[tiff_pixels.WIDTH], tags[tiff_pixels.LENGTH]
        shape = (down, across) if _turn(picture) in SWAPPED else (across, down)
        return Grid(shape, np.eye(4), None, _channels(picture))


def noted_turn(path: Path) -> int:
    """How a camera noted that a picture is to be turned: EXIF's orientation, 1 to 8; 1, upright, without a note."""
    with _opened(path) as picture:
        return _turn(picture)


def read_label(path: Path, labels: Mapping[str, int]) -> Volume:
    """The label values of a picture, as stored; where it has a palette of colours, the index of each pixel in it.

    Raises:
        UserError: as in `read`; a picture in colours; a JPEG file with other values than 0 and 255.
    """
    with _opened(path) as picture:
        lossy = picture.format in ("JPEG", "MPO")
        if picture.mode == "P" and _channels(picture) == 3:
            return _volume(picture, np.asarray(picture))
    first, *others = read(path)
    if not all(np.array_equal(first.voxels, other.voxels) for other in others):
        raise UserError(
            f"{path} is a picture in colours, but a label is one number a pixel: save it as a grey PNG file that holds "
            "the values of the labels."
        )
    odd = [value for value in np.unique(first.voxels).tolist() if value not in (0, 255)] if lossy else []
    if odd:
        raise UserError(
            f"{path} is a JPEG file, whose compression blurs the edges of a mask: it holds {len(odd)} values other "
            f"than 0 and 255, such as {odd[0]}. Save masks as PNG, from the program in which they were drawn."
        )
    return first


def palette_colours(path: Path) -> dict[int, tuple[int, int, int]]:
    """The numbers that the pixels of a label hold -> red, green, blue; empty without a palette of colours."""
    with _opened(path) as picture:
        if picture.mode != "P" or _channels(picture) == 1:
            return {}
        palette = np.reshape(picture.getpalette("RGB") or [0, 0, 0], (-1, 3)).tolist()
        used = np.unique(np.asarray(picture)).tolist()
    return {number: tuple(palette[number]) if number < len(palette) else (0, 0, 0) for number in used}


def write(path: Path, voxels: Array, like: Volume, labels: Mapping[str, int]) -> None:
    """Write label values (x, y) as a grey PNG file: of 8 bits, or of 16 where their type or values need them.

    Beside a picture with the note of a camera, the file is turned as that one is stored, and has the same note.

    Raises:
        UserError: a volume, maps, fractions, negative numbers or numbers above 65535.
    """
    low, high = (int(voxels.min()), int(voxels.max())) if voxels.size else (0, 0)
    if voxels.ndim != 2 or voxels.dtype.kind not in "ui" or low < 0 or high > 65535:
        raise UserError(
            f"{path.name} cannot hold values of shape {voxels.shape} and type {voxels.dtype}: PNG holds pictures "
            "(x, y) of whole numbers from 0 to 65535; choose NIfTI or NRRD."
        )
    depth = np.uint8 if high < 256 and voxels.dtype != np.uint16 else np.uint16
    turn, pillow = like.native if isinstance(like.native, int) else 1, _pillow()
    note = pillow.Exif()
    if turn != 1:
        note[_ORIENTATION] = turn
    pixels = _turned(voxels.T.astype(depth), _BACK.get(turn, turn))
    pillow.fromarray(np.ascontiguousarray(pixels)).save(path, format="PNG", exif=note)


@cache
def _pillow() -> ModuleType:
    """Pillow, imported only where a picture is met. What it warns of is refused here: too many pixels, damage."""
    from PIL import Image

    warnings.filterwarnings("error", "Corrupt EXIF|Truncated", UserWarning)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    return Image


@contextmanager
def _opened(path: Path) -> Iterator["Image"]:
    """The one picture of a file, its pixels not yet read."""
    pillow = _pillow()
    too_large = f"{path} has more than {MAX_PIXELS:,} pixels, which is the limit: cut it into parts, or reduce it."
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))  # by name, Pillow 13 mixes up turned grey TIFFs
        try:
            picture = stack.enter_context(pillow.open(file))
        except (pillow.DecompressionBombError, pillow.DecompressionBombWarning):
            raise UserError(too_large) from None
        except pillow.UnidentifiedImageError:
            tiff_pixels.refuse_unknown_kind(path)
            raise
        if picture.width * picture.height > MAX_PIXELS:
            raise UserError(too_large)
        count = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
        if count > 1:
            raise UserError(
                f"{path} holds {count} pictures (an animation or a stack), and does not say how far apart they lie: "
                "save each as a file of its own, or the stack as NIfTI or NRRD with its spacing."
            )
        cut = ";16" in _raw_mode(picture) and picture.mode in ("RGB", "RGBA", "LA")  # to 8 bits, by Pillow
        if cut or picture.mode not in _MODES:
            raise UserError(
                f"{path} has {picture.mode} colours{' of 16 bits' if cut else ''}, only grey values and RGB of 8 bits "
                f"are read: save it as {'one grey file of 16 bits a channel' if cut else 'RGB or grey PNG'}."
            )
        yield picture


def _raw_mode(picture: "Image") -> str:
    """How pixels are stored in the file, in Pillow's terms."""
    tiles = getattr(picture, "tile", None)
    stored = tiles[0][3] if tiles else ""
    return str(stored[0] if isinstance(stored, tuple) and stored else stored)


def _channels(picture: "Image") -> int:
    """1 where all that the file can show is grey, else 3."""
    if picture.mode in _GREY_MODES:
        return 1
    if picture.mode in ("P", "PA"):
        palette = np.reshape(picture.getpalette("RGB") or [0, 0, 0], (-1, 3))
        return 1 if (palette == palette[:, :1]).all() else 3
    return 3


def _grey(path: Path, picture: "Image") -> Array:
    """(rows, columns) of a grey picture, as stored."""
    raw, mode = _raw_mode(picture), picture.mode
    if mode in ("P", "PA", "L", "LA", "La") and picture.has_transparency_data:
        pixels = np.asarray(picture.convert("LA"))
        _check_opaque(path, pixels[:, :, 1])
        pixels = pixels[:, :, 0]
    else:
        pixels = np.asarray(picture.convert("L") if mode == "P" else picture)
    if mode == "1":
        return pixels.astype(np.uint8)
    if raw in _STEPS:
        return pixels // _STEPS[raw]
    pixels = tiff_pixels.as_meant(path, pixels, mode, getattr(picture, "tag_v2", {}))
    if mode.startswith("I;16") and "transparency" in picture.info:
        _check_opaque(path, np.where(pixels == picture.info["transparency"], 0, 255))
    return pixels


def _check_opaque(path: Path, alpha: Array) -> None:
    if bad := int((alpha < 255).sum()):
        raise UserError(
            f"{path} has {bad} transparent pixels, whose values nobody sees: save it without an alpha channel."
        )


def _volume(picture: "Image", pixels: Array) -> Volume:
    """(rows, columns) as stored, turned as EXIF says; `write` finds the turn in `native`."""
    turn = _turn(picture)
    return new_volume(_turned(pixels, turn).T, native=turn)


def _turn(picture: "Image") -> int:
    found = picture.getexif().get(_ORIENTATION, 1)
    return int(found) if found in range(1, 9) else 1


def _turned(pixels: Array, turn: int) -> Array:
    """(rows, columns) turned: 1 to 8 are the eight turns and flips of a square."""
    if turn in SWAPPED:
        pixels = pixels.T
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
