"""Pictures: every kind of pixel against what was drawn, turns, palettes, transparency, and what must be refused."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import pictures

ROWS, COLUMNS = 3, 4
GREY = np.arange(12, dtype=np.uint8).reshape(ROWS, COLUMNS)
COLOURS = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS, 3)).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **how: object) -> Path:
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **how)
    return path


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".tiff", ".jpg"])
def test_a_column_is_x_and_a_row_is_y(tmp_path: Path, ending: str) -> None:
    """As in NIfTI the first axis runs along a row. JPEG is lossy, but not by much."""
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:, 8:] = 200
    volume = formats.read(save(tmp_path / f"a{ending}", pixels, quality=95))
    assert (volume.shape, volume.spacing_mm) == ((16, 8), None)
    np.testing.assert_allclose(volume.voxels.astype(int), pixels.T, atol=3)
    grid = formats.read_grid(tmp_path / f"a{ending}")
    assert (grid.shape, grid.spacing_mm, grid.channels) == ((16, 8), None, 1)


@pytest.mark.parametrize(
    ("ending", "kind"),
    [(".png", "uint8"), (".png", "uint16"), (".tif", "uint16"), (".tif", "int32"), (".tif", "float32")],
)
def test_grey_values_keep_their_depth(tmp_path: Path, ending: str, kind: str) -> None:
    top = {"uint8": 255, "uint16": 65535, "int32": 2**31 - 1, "float32": 0.123}[kind]
    pixels = np.zeros((ROWS, COLUMNS), kind)
    pixels[0, 1], pixels[2, 3] = top, 1
    volume = formats.read(save(tmp_path / f"a{ending}", pixels))
    np.testing.assert_array_equal(volume.voxels, pixels.T)
    assert volume.voxels.dtype == np.dtype(kind)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_the_numbers_that_are_stored(tmp_path: Path, bits: int) -> None:
    """Pillow spreads them over 0 to 255, which would make a mask of 0, 1, 2 one of 0, 85, 170."""
    pixels = (GREY % 2**bits).astype(np.uint8)
    if bits == 1:
        save(tmp_path / "a.png", pixels.astype(bool))
    else:
        write_low_bits(tmp_path / "a.png", pixels, bits)
    np.testing.assert_array_equal(formats.read(tmp_path / "a.png").voxels, pixels.T)


def write_low_bits(path: Path, pixels: np.ndarray, bits: int) -> None:
    """A grey PNG of 2 or 4 bits a pixel, by the standard: Pillow does not write one."""
    high = np.unpackbits(pixels[:, :, None], axis=2)[:, :, 8 - bits :].reshape(len(pixels), -1)
    write_png(path, (pixels.shape[1], pixels.shape[0]), bits, 0, [np.packbits(row).tobytes() for row in high])


def write_png(path: Path, size: tuple[int, int], bits: int, colours: int, rows: list[bytes]) -> None:
    """Bytes as a PNG file, by the standard."""
    header = struct.pack(">2I5B", *size, bits, colours, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b""))
    packed = (struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_tiff_in_which_0_is_white(tmp_path: Path, kind: str) -> None:
    pixels = (GREY * 20).astype(kind)
    path = save(tmp_path / "a.tif", pixels, tiffinfo={262: 0})
    with Image.open(path) as picture:
        assert picture.tag_v2[262] == 0
    stored = np.frombuffer(path.read_bytes()[-pixels.nbytes :], kind).reshape(pixels.shape)  # the pixels come last
    np.testing.assert_array_equal(formats.read(path).voxels, (np.iinfo(kind).max - stored).T)


def test_colours_are_three_channels_of_one_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", COLOURS)
    channels = formats.read_channels([path])
    np.testing.assert_array_equal([each.voxels for each in channels], COLOURS.transpose(2, 1, 0))
    assert formats.read_grid(path).channels == 3
    with pytest.raises(UserError, match=r"a\.png holds 3 channels, such as colours, and one is needed here"):
        formats.read(path)
    with pytest.raises(UserError, match=r"a\.png is a picture in colours, but a label is one number a pixel"):
        formats.read_label(path)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_the_turn_of_a_camera_is_applied(tmp_path: Path, turn: int, ending: str) -> None:
    exif = noted(turn)
    for name, pixels in (("grey", GREY), ("colours", COLOURS)):
        with Image.open(save(tmp_path / f"{name}.png", pixels, exif=exif)) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture))
        if ending == "jpg":
            pixels = np.full_like(pixels, 90)  # as JPEG keeps them
            expected = np.full_like(expected, 90)
        path = save(tmp_path / f"{name}.{ending}", pixels, exif=exif)
        channels = formats.read_channels([path])
        np.testing.assert_array_equal(channels[0].voxels.T, expected if expected.ndim == 2 else expected[:, :, 0])
        assert formats.read_grid(path).shape == channels[0].shape


def noted(turn: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = turn
    return exif


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_mask_is_stored_as_its_picture_is_with_the_same_note(tmp_path: Path, turn: int) -> None:
    for pixels in (GREY, COLOURS):
        image = formats.read_channels([save(tmp_path / "a.png", pixels, exif=noted(turn))])[0]
        mask = np.arange(image.voxels.size, dtype=np.uint8).reshape(image.shape)
        formats.write(tmp_path / "mask.png", mask, like=image)
        np.testing.assert_array_equal(formats.read_label(tmp_path / "mask.png").voxels, mask)
        with Image.open(tmp_path / "mask.png") as stored:
            assert stored.size == (COLUMNS, ROWS)
        assert pictures.noted_turn(tmp_path / "mask.png") == turn
        formats.refuse_other_turn(tmp_path / "mask.png", tmp_path / "a.png")


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        ((3, None), r"a\.png has a note that turns it \(EXIF orientation 3\), and .*b\.tif has another or none \(1\)"),
        ((None, 2), r"b\.tif has a note that turns it \(EXIF orientation 2\), and .*a\.png has another or none \(1\)"),
        ((8, 6), r"\(EXIF orientation \d\).* store both upright and without such a note"),
        ((6, None), "how they lie on each other cannot be told"),
        ((7, 7), None),
        ((1, None), None),
        ((0, None), None),  # no value that EXIF has
    ],
)
def test_two_pictures_of_which_a_note_turns_one_are_refused(
    tmp_path: Path, turns: tuple[int | None, int | None], told: str | None
) -> None:
    pair = [
        save(tmp_path / name, GREY, **({} if turn is None else {"exif": noted(turn)}))
        for name, turn in zip(("a.png", "b.tif"), turns, strict=True)
    ]
    if told is None:
        formats.refuse_other_turn(pair[1], pair[0])
        return
    with pytest.raises(UserError, match=told):
        formats.refuse_other_turn(pair[1], pair[0])


def test_stored_sizes_tell_that_a_mask_was_drawn_on_the_picture_as_shown(tmp_path: Path) -> None:
    image, mask = save(tmp_path / "a.jpg", GREY, exif=noted(6)), save(tmp_path / "b.png", GREY.T)
    formats.refuse_other_turn(mask, image)
    assert formats.read_grid(image).shape == formats.read_grid(mask).shape
    square = save(tmp_path / "c.jpg", GREY[:, :3], exif=noted(6)), save(tmp_path / "d.png", GREY[:, :3])
    with pytest.raises(UserError, match="cannot be told"):
        formats.refuse_other_turn(*square)


def palette_picture(path: Path, colours: list[tuple[int, int, int]]) -> np.ndarray:
    indices = (GREY % len(colours)).astype(np.uint8)
    picture = Image.frombytes("P", (COLUMNS, ROWS), indices.tobytes())
    picture.putpalette([value for colour in colours for value in colour])
    picture.save(path)
    return indices


def test_a_palette_of_colours_is_colours_in_an_image_and_indices_in_a_label(tmp_path: Path) -> None:
    colours = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    indices = palette_picture(tmp_path / "a.png", colours)
    channels = formats.read_channels([tmp_path / "a.png"])
    np.testing.assert_array_equal(np.stack([each.voxels.T for each in channels], -1), np.array(colours)[indices])
    assert formats.read_grid(tmp_path / "a.png").channels == 3
    np.testing.assert_array_equal(formats.read_label(tmp_path / "a.png").voxels, indices.T)


def test_a_palette_of_greys_is_grey(tmp_path: Path) -> None:
    """Also in a label: white may come first in the palette, and background be index 1."""
    indices = palette_picture(tmp_path / "a.png", [(255, 255, 255), (0, 0, 0)])
    for read in (formats.read, formats.read_label):
        np.testing.assert_array_equal(read(tmp_path / "a.png").voxels, np.where(indices == 0, 255, 0).T)
    assert formats.read_grid(tmp_path / "a.png").channels == 1


@pytest.mark.parametrize("pixels", [GREY, COLOURS], ids=["grey", "colours"])
def test_an_alpha_channel_is_dropped_where_it_is_opaque(tmp_path: Path, pixels: np.ndarray) -> None:
    opaque = np.dstack([pixels, np.full((ROWS, COLUMNS), 255, np.uint8)])
    channels = formats.read_channels([save(tmp_path / "a.png", opaque)])
    np.testing.assert_array_equal([each.voxels.T for each in channels], np.atleast_3d(pixels).transpose(2, 0, 1))
    opaque[1, 2, -1] = 254
    with pytest.raises(UserError, match=r"a\.png has 1 transparent pixels, whose values nobody sees"):
        formats.read_channels([save(tmp_path / "a.png", opaque)])


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_a_grey_value_that_stands_for_transparent(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path / "a.png", GREY.astype(kind), transparency=200)
    np.testing.assert_array_equal(formats.read(path).voxels, GREY.T)
    path = save(tmp_path / "a.png", GREY.astype(kind), transparency=7)
    with pytest.raises(UserError, match=r"a\.png has 1 transparent pixels"):
        formats.read(path)


def test_labels_are_as_stored(tmp_path: Path) -> None:
    for values in ((0, 1, 2), (0, 255), (0, 300)):
        pixels = np.array(values)[GREY % len(values)].astype(np.uint16 if max(values) > 255 else np.uint8)
        np.testing.assert_array_equal(formats.read_label(save(tmp_path / "a.png", pixels)).voxels, pixels.T)
    grey_in_colours = np.repeat(GREY[:, :, None], 3, 2)
    np.testing.assert_array_equal(formats.read_label(save(tmp_path / "a.png", grey_in_colours)).voxels, GREY.T)


def test_a_mask_in_jpeg_is_refused_and_the_remedy_named(tmp_path: Path) -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 13:27] = 255
    path = save(tmp_path / "a.jpg", mask, quality=60)
    with pytest.raises(UserError, match=r"a\.jpg is a JPEG file, whose compression blurs the .*Save masks as PNG"):
        formats.read_label(path)
    assert formats.read_label(save(tmp_path / "b.jpg", np.zeros((8, 8), np.uint8))).voxels.max() == 0


def test_a_label_without_a_place_lies_on_its_scan(tmp_path: Path) -> None:
    scan = formats.new_volume(np.zeros((COLUMNS, ROWS)), np.diag([-2.0, 3, 1, 1]))
    label = formats.read_label(save(tmp_path / "a.png", GREY), scan)
    assert formats.same_grid(label, scan, tolerance=0)
    assert label.spacing_mm == formats.read_label_grid(tmp_path / "a.png", scan).spacing_mm == (2, 3)
    other = formats.new_volume(np.zeros((COLUMNS, ROWS + 1)), np.eye(4))
    assert formats.read_label_grid(tmp_path / "a.png", other).shape == (COLUMNS, ROWS)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int64", "uint16"])
def test_a_mask_in_png(tmp_path: Path, kind: str) -> None:
    mask = (GREY.T % 2).astype(kind)
    formats.write(tmp_path / "a.png", mask, like=formats.new_volume(mask))
    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), mask.T)
    assert formats.read(tmp_path / "a.png").voxels.dtype == np.dtype("uint16" if kind == "uint16" else "uint8")


@pytest.mark.parametrize(
    "voxels", [np.zeros((4, 3, 2), np.uint8), np.full((4, 3), -1), np.full((4, 3), 65536), np.zeros((4, 3))], ids=str
)
def test_what_png_cannot_hold(tmp_path: Path, voxels: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"a\.png cannot hold values of shape"):
        formats.write(tmp_path / "a.png", voxels, like=formats.new_volume(voxels))
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("ending", [".jpg", ".tif", ".bmp"])
def test_what_is_read_and_not_written(tmp_path: Path, ending: str) -> None:
    with pytest.raises(UserError, match=rf"files that end in {ending} are only read, \.nii\.gz or .* are written"):
        formats.write(tmp_path / f"a{ending}", GREY, like=formats.new_volume(GREY))


def refused(path: Path, message: str) -> None:
    for read in (formats.read, formats.read_grid, formats.read_label):
        with pytest.raises(UserError, match=message) as caught:
            read(path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_several_pictures_in_one_file(tmp_path: Path) -> None:
    first, second = Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    for ending in (".png", ".tif"):
        refused(tmp_path / f"a{ending}", r"holds 2 pictures \(an animation or a stack\)")


@pytest.mark.parametrize("ending", [".jpg", ".tif"])
def test_printers_colours(tmp_path: Path, ending: str) -> None:
    refused(save(tmp_path / f"a{ending}", COLOURS, "CMYK"), "has CMYK colours, only grey values and RGB of 8 bits")


def test_colours_of_16_bits(tmp_path: Path) -> None:
    """Pillow would read them, with half of their bits."""
    write_png(tmp_path / "a.png", (COLUMNS, 1), 16, 2, [COLOURS[0].astype(">u2").tobytes()])
    refused(tmp_path / "a.png", "has RGB colours of 16 bits.* one grey file of 16 bits a channel")


def test_a_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1 MB that claims 900 megapixels, and one that is only a pixel too large."""
    Image.new("1", (30_000, 30_000)).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", r"has more than 89,478,485 pixels, which is the limit")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 11)
    refused(save(tmp_path / "b.png", GREY), "has more than 11 pixels")


def test_a_truncated_jpeg(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.jpg", np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)).read_bytes()
    for length in (10, 300, len(whole) // 2, len(whole) - 10):
        (tmp_path / "a.jpg").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"a\.jpg cannot be read: it is truncated"):
            formats.read(tmp_path / "a.jpg")
