"""DICOM series: voxels and places against the standard's formula, and every series that must be refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    BasicTextSRStorage,
    JPEG2000Lossless,
    JPEGLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
    generate_uid,
)

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import Volume
from crossmatch.formats.dicom import find_series, read_series, read_slices
from tiny_dicom import AXIAL, edit, write_multiframe, write_series


def _stored(shape: tuple[int, int, int] = (7, 5, 4)) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 3000, shape).astype(np.int16)


def _volume(folder: Path) -> Volume:
    return read_series(read_slices(folder))


def _turned() -> np.ndarray:
    """Two unit vectors, neither along an axis: turned by 30 degrees about z, then by 20 about x."""
    (c, s), (d, t) = ((np.cos(a), np.sin(a)) for a in np.radians([30, 20]))
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, d, -t], [0, t, d]])
    return (about_x @ about_z)[:, :2].T


@pytest.mark.parametrize("falling", [False, True], ids=["numbers rise", "numbers fall"])
def test_an_axial_series(tmp_path, falling):
    """Slices by position, whatever their names; the affine written out by hand: LPS turned to RAS."""
    stored = _stored()
    write_series(tmp_path, stored, falling=falling)
    volume = _volume(tmp_path)
    np.testing.assert_array_equal(volume.voxels, stored.astype(int) - 1024)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_allclose(
        volume.affine, [[-0.75, 0, 0, 100], [0, -0.5, 0, 90], [0, 0, 2.5, 30], [0, 0, 0, 1]], atol=1e-12
    )
    assert volume.spacing_mm == pytest.approx((0.75, 0.5, 2.5))
    assert [one.number for one in read_slices(tmp_path)] == ([4, 3, 2, 1] if falling else [1, 2, 3, 4])


@pytest.mark.parametrize("falling", [False, True], ids=["numbers rise", "numbers fall"])
@pytest.mark.parametrize("orientation", [AXIAL, ((0, 1, 0), (0, 0, -1)), "turned"], ids=["axial", "sagittal", "turned"])
def test_every_voxel_lies_where_the_standard_says(tmp_path, orientation, falling):
    """PS3.3 C.7.6.2.1.1, from the tags of each file: position + direction x spacing x index; then LPS to RAS."""
    stored = _stored()
    paths = write_series(
        tmp_path, stored, orientation=_turned() if orientation == "turned" else orientation, falling=falling
    )
    volume = _volume(tmp_path)
    for k, path in enumerate(paths):
        data = dcmread(path)
        directions = np.array(data.ImageOrientationPatient, dtype=float).reshape(2, 3)
        for column, row in ((0, 0), (6, 0), (0, 4), (3, 2)):
            place = np.array(data.ImagePositionPatient, dtype=float)
            place = place + directions[0] * 0.75 * column + directions[1] * 0.5 * row
            found = volume.affine @ [column, row, k, 1]
            np.testing.assert_allclose(found[:3], place * [-1, -1, 1], atol=1e-9)
            assert volume.voxels[column, row, k] == data.pixel_array[row, column] - 1024


def test_rescaling_that_is_no_whole_number_becomes_float32(tmp_path):
    stored = _stored()
    write_series(tmp_path / "half", stored, slope=0.5, intercept=0)
    write_series(tmp_path / "large", stored, slope=100, intercept=0)
    write_series(tmp_path / "double", stored, slope=2, intercept=-10)
    half, large, double = (_volume(tmp_path / name).voxels for name in ("half", "large", "double"))
    assert (half.dtype, large.dtype, double.dtype) == (np.float32, np.float32, np.int16)
    np.testing.assert_array_equal(half, stored / 2)
    np.testing.assert_array_equal(large, stored.astype(float) * 100)
    np.testing.assert_array_equal(double, stored.astype(int) * 2 - 10)


def test_each_slice_is_rescaled_by_its_own_numbers(tmp_path):
    stored = _stored()
    edit(write_series(tmp_path, stored)[2], RescaleSlope=3, RescaleIntercept=7)
    voxels = _volume(tmp_path).voxels
    np.testing.assert_array_equal(voxels[:, :, 2], stored[:, :, 2].astype(int) * 3 + 7)
    np.testing.assert_array_equal(voxels[:, :, 1], stored[:, :, 1].astype(int) - 1024)


@pytest.mark.parametrize("empty", ["", None])
def test_a_series_without_rescaling_keeps_its_values(tmp_path, empty):
    """Where no slice has it, missing or empty (type 2 tags may be), and stored values are signed."""
    stored = _stored()
    for path in write_series(tmp_path, stored):
        edit(path, RescaleSlope=empty, RescaleIntercept=empty)
    np.testing.assert_array_equal(_volume(tmp_path).voxels, stored)


@pytest.mark.parametrize("signed", [0, 1])
def test_bits_beyond_those_stored_are_left_out(tmp_path, signed):
    """They may hold an overlay."""
    stored = np.random.default_rng(0).integers(0, 2000, (7, 5, 4)).astype(np.int16)
    for path in write_series(tmp_path, stored | np.int16(1 << 13)):
        edit(path, BitsStored=12, HighBit=11, PixelRepresentation=signed)
    np.testing.assert_array_equal(_volume(tmp_path).voxels, stored - 1024)


def test_bright_is_high_in_monochrome1_too(tmp_path):
    """Turned round within 12 stored bits, then rescaled; in CT values are Hounsfield units, however they are shown."""
    stored = _stored()
    for path in write_series(tmp_path / "mr", stored, slope=2, intercept=5):
        edit(
            path,
            Modality="MR",
            PhotometricInterpretation="MONOCHROME1",
            PixelRepresentation=0,
            BitsStored=12,
            HighBit=11,
        )
    np.testing.assert_array_equal(_volume(tmp_path / "mr").voxels, (4095 - stored.astype(int)) * 2 + 5)
    for path in write_series(tmp_path / "signed", stored, intercept=0):
        edit(path, Modality="MR", PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(_volume(tmp_path / "signed").voxels, -1 - stored.astype(int))
    for path in write_series(tmp_path / "ct", stored):
        edit(path, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(_volume(tmp_path / "ct").voxels, stored.astype(int) - 1024)


@pytest.mark.parametrize("shared", [True, False], ids=["one group for all", "a group a frame"])
def test_the_frames_of_one_file_are_the_slices(tmp_path, shared):
    """As the same scan in a file a slice; frames in any order."""
    stored = _stored()
    write_series(tmp_path / "single", stored, orientation=_turned())
    write_multiframe(tmp_path / "multi/a.dcm", stored, orientation=_turned(), shared=shared, order=(2, 0, 3, 1))
    single, multi = _volume(tmp_path / "single"), _volume(tmp_path / "multi")
    np.testing.assert_array_equal(multi.voxels, single.voxels)
    np.testing.assert_allclose(multi.affine, single.affine, atol=1e-9)
    assert multi.voxels.dtype == np.int16


def test_frames_that_form_no_even_volume_are_refused(tmp_path):
    write_multiframe(tmp_path / "a.dcm", _stored((7, 5, 6)), order=(0, 1, 3, 4, 5))
    with pytest.raises(UserError, match=r"it is 5\.000 mm, elsewhere 2\.500 mm.*slices missing between them: 1"):
        _volume(tmp_path)


def test_the_registry_reads_a_folder_as_a_series(tmp_path):
    stored = _stored()
    write_series(tmp_path / "case_0000", stored)
    volume, grid = formats.read(tmp_path / "case_0000"), formats.read_grid(tmp_path / "case_0000")
    np.testing.assert_array_equal(volume.voxels, stored.astype(int) - 1024)
    assert (grid.shape, grid.spacing_mm) == (volume.shape, volume.spacing_mm)
    np.testing.assert_array_equal(grid.affine, volume.affine)
    assert len(formats.parts(tmp_path / "case_0000")) == 4
    assert formats.files_in(tmp_path) == []
    assert formats.files_in(tmp_path, series=True) == [("case_0000", tmp_path / "case_0000")]
    formats.write(tmp_path / "mask.nii.gz", volume.voxels > 0, like=volume)
    assert formats.same_grid(formats.read(tmp_path / "mask.nii.gz"), volume)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no DICOM image"):
        formats.read(tmp_path / "empty")


def test_every_series_of_a_tree_is_found(tmp_path):
    for place in ("anna/ct", "anna/mr", "bert"):
        write_series(tmp_path / place, _stored())
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("nothing")
    expected = [("anna_ct", "anna/ct"), ("anna_mr", "anna/mr"), ("bert", "bert")]
    assert formats.series_in(tmp_path) == [(name, tmp_path / place) for name, place in expected]
    assert formats.series_in(tmp_path / "bert") == [("bert", tmp_path / "bert")]


def test_every_header_is_read_once(tmp_path, monkeypatch):
    write_series(tmp_path, _stored())
    slices = read_slices(tmp_path)
    monkeypatch.setattr("crossmatch.formats.dicom.read_header", None)
    assert read_series(slices).shape == (7, 5, 4)


def test_files_that_are_no_images_are_ignored(tmp_path):
    paths = write_series(tmp_path, _stored())
    (tmp_path / "LICENSE").write_text("CC BY 3.0")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    for name, kind in (("report.dcm", BasicTextSRStorage), ("index.dcm", MediaStorageDirectoryStorage)):
        data = dcmread(paths[0])
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = kind
        data.SeriesInstanceUID = generate_uid()
        del data.Rows, data.Columns, data.PixelData
        data.save_as(tmp_path / name, enforce_file_format=True)
    assert _volume(tmp_path).shape == (7, 5, 4)


def test_the_series_of_a_case_is_found(tmp_path):
    series = tmp_path / "11-24-2015-Pancreas" / "1.000000-Pancreas-18957"
    write_series(series, _stored())
    (tmp_path / "LICENSE").write_text("CC BY 3.0")
    assert find_series(tmp_path) == find_series(series) == series
    write_series(tmp_path / "another", _stored())
    with pytest.raises(UserError, match=r"holds 2 DICOM series \(another, 11-24-2015-Pancreas.*\): keep the one"):
        find_series(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no DICOM file"):
        find_series(tmp_path / "empty")


def test_a_compressed_series_whose_decoder_is_there(tmp_path):
    stored = _stored()
    for path in write_series(tmp_path, stored):
        data = dcmread(path)
        data.compress(RLELossless)
        data.save_as(path)
    np.testing.assert_array_equal(_volume(tmp_path).voxels, stored.astype(int) - 1024)


def test_decoders_of_the_extra(tmp_path):
    """JPEG 2000 through a round trip; JPEG Lossless, the usual one in archives, is known to be decoded."""
    pytest.importorskip("openjpeg")
    stored = _stored((64, 72, 2))
    for path in write_series(tmp_path, stored):
        data = dcmread(path)
        data.compress(JPEG2000Lossless)
        data.save_as(path)
    np.testing.assert_array_equal(_volume(tmp_path).voxels, stored.astype(int) - 1024)
    pytest.importorskip("gdcm")
    assert get_decoder(JPEGLossless).is_available


def test_a_compressed_series_without_a_decoder(tmp_path, monkeypatch):
    monkeypatch.setattr(type(get_decoder(JPEGLossless)), "is_available", False)
    for path in write_series(tmp_path, _stored()):
        data = dcmread(path)
        data.file_meta.TransferSyntaxUID = JPEGLossless
        data.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
        data["PixelData"].VR = "OB"
        data.save_as(path, enforce_file_format=True)
    with pytest.raises(
        UserError, match=r"1-001\.dcm is compressed \(JPEG Lossless.*pip install 'crossmatch\[dicom\]'.*gdcmconv"
    ):
        _volume(tmp_path)


def _cut(path: Path, left: int) -> None:
    path.write_bytes(path.read_bytes()[:left])


def _wide(path: Path) -> None:
    edit(path, Columns=5, Rows=7)


def dataset_of(path: Path) -> bytes:
    """The elements of a file from group 0008 on, without preamble and file meta information."""
    content = path.read_bytes()
    return content[content.index(b"\x08\x00\x08\x00CS") :]


FAULTS = {
    "nothing": (lambda paths: [path.unlink() for path in paths], "holds no DICOM image"),
    "two series": (
        lambda paths: edit(paths[1], SeriesInstanceUID="1.2.3"),
        r"2 series mixed \(1\.2\.3: 1 files; 1\.2\.8.*: 5 files\): move",
    ),
    "gap": (
        lambda paths: paths[2].unlink(),
        r"from 1-002\.dcm to 1-004\.dcm it is 5\.000 mm.* 2\.500 mm.*missing between them: 1;",
    ),
    "uneven": (
        lambda paths: edit(paths[5], ImagePositionPatient=[-100, -90, 42.54]),
        r"from 1-005\.dcm to 1-006\.dcm it is 2\.540 mm, elsewhere 2\.500 mm \(tolerance 1%\).*resample",
    ),
    "twice": (lambda paths: shutil.copy(paths[1], paths[1].with_name("b.dcm")), r"b\.dcm lies where 1-002\.dcm lies"),
    "size": (lambda paths: _wide(paths[1]), r"1-002\.dcm has a size \(columns, rows\) of \[5, 7\], 1-001\.dcm .*7, 5"),
    "spacing": (lambda paths: edit(paths[1], PixelSpacing=[0.5, 0.76]), r"a PixelSpacing \(x, y\) of \[0\.76, 0\.5\]"),
    "orientation": (lambda paths: edit(paths[1], ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "has an orientation of"),
    "no orientation": (lambda paths: edit(paths[1], ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "that is none"),
    "tags": (
        lambda paths: edit(paths[3], ImagePositionPatient=None, PixelSpacing=None),
        r"1-004\.dcm lacks PixelSpacing, ImagePositionPatient",
    ),
    "one spacing": (
        lambda paths: edit(paths[3], PixelSpacing=0.5),
        r"1-004\.dcm holds the PixelSpacing \[0\.5\], .*: 2,",
    ),
    "one place": (
        lambda paths: edit(paths[3], ImagePositionPatient=0.5),
        r"1-004\.dcm holds the ImagePositionPatient \[0\.5\], needed: 3, finite",
    ),
    "spacing nan": (
        lambda paths: edit(paths[0], PixelSpacing=[0.5, np.nan]),
        r"1-001\.dcm holds the PixelSpacing .*nan",
    ),
    "place inf": (
        lambda paths: edit(paths[0], ImagePositionPatient=[0, 0, np.inf]),
        r"1-001\.dcm holds the ImagePositionPatient \[0\.0, 0\.0, inf\]",
    ),
    "orientation nan": (
        lambda paths: edit(paths[0], ImageOrientationPatient=[np.nan] * 6),
        r"1-001\.dcm holds the ImageOrientationPatient \[nan",
    ),
    "slope nan": (lambda paths: edit(paths[2], RescaleSlope=np.nan), r"1-003\.dcm holds the RescaleSlope \[nan\]"),
    "two slopes": (
        lambda paths: edit(paths[2], RescaleSlope=[1, 2]),
        r"1-003\.dcm holds the RescaleSlope \[1\.0, 2\.0\]",
    ),
    "no rescaling": (
        lambda paths: edit(paths[3], RescaleSlope=None, RescaleIntercept=None),
        r"1-004\.dcm lacks RescaleSlope and RescaleIntercept, which 1-001\.dcm has: .*\(1 of 6 slices\)",
    ),
    "no intercept": (
        lambda paths: edit(paths[3], RescaleIntercept=None),
        r"1-004\.dcm has one of RescaleSlope and RescaleIntercept, without the other",
    ),
    "unsigned CT without rescaling": (
        lambda paths: [edit(p, RescaleSlope=None, RescaleIntercept=None, PixelRepresentation=0) for p in paths],
        r"1-001\.dcm is a CT slice without RescaleSlope and RescaleIntercept, so its Hounsfield units are unknown",
    ),
    "high bit": (lambda paths: edit(paths[1], BitsStored=12, HighBit=15), r"1-002\.dcm stores its 12 bits elsewhere"),
    "no preamble": (
        lambda paths: paths[1].with_suffix("").write_bytes(dataset_of(paths[1])) and paths[1].unlink(),
        r"1-002 seems to be a DICOM file that lacks its first 132 bytes",
    ),
    "two frames": (lambda paths: edit(paths[2], NumberOfFrames=[1, 2]), r"1-003\.dcm cannot be read"),
    "localiser": (lambda paths: edit(paths[0], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "is a localiser"),
    "frames": (
        lambda paths: edit(paths[0], NumberOfFrames=2),
        "is a multi-frame file that does not say where each frame lies.*NIfTI",
    ),
    "colours": (lambda paths: edit(paths[0], SamplesPerPixel=3), "holds colours"),
    "one": (lambda paths: [path.unlink() for path in paths[1:]], r"holds one slice \(1-001\.dcm\)"),
    "pixels cut": (lambda paths: _cut(paths[1], -20), r"1-002\.dcm cannot be read, it is truncated or damaged"),
    "tags cut": (lambda paths: _cut(paths[1], 500), r"1-002\.dcm (cannot be read|lacks)"),
    "cut to nothing": (lambda paths: _cut(paths[1], 40), r"1-002\.dcm cannot be read.*does not begin"),
    "tilted": (
        lambda paths: [edit(p, ImagePositionPatient=[-100, -90 + k, 30 + 2.5 * k]) for k, p in enumerate(paths)],
        r"1-002\.dcm is shifted sideways by 1\.000 mm .*tilted gantry",
    ),
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.values(), ids=FAULTS)
def test_what_is_refused(tmp_path, fault, message):
    paths = write_series(tmp_path, _stored((7, 5, 6)))
    fault(paths)
    with pytest.raises(UserError, match=message):
        _volume(tmp_path)


def test_steps_within_the_tolerance_are_even(tmp_path):
    paths = write_series(tmp_path, _stored())
    edit(paths[3], ImagePositionPatient=[-100, -90, 30 + 3 * 2.5 + 0.02])
    assert _volume(tmp_path).spacing_mm[2] == pytest.approx((7.5 + 0.02) / 3)
    with pytest.raises(UserError, match="is no folder"):
        _volume(tmp_path / "gone")


def test_hidden_files_are_no_slices(tmp_path):
    """macOS leaves ._ files beside those that it copies."""
    stored = _stored()
    write_series(tmp_path, stored)
    (tmp_path / "._1-001.dcm").write_bytes(b"\0\5\x16\7" * 30)
    assert _volume(tmp_path).shape == stored.shape


def radiograph(folder: Path, pixels: np.ndarray, **tags: object) -> Path:
    """Write one X-ray image (column, row) of 16 bits, without a place in the patient."""
    (path,) = write_series(folder, pixels[:, :, None].astype(np.int16))
    data = dcmread(path)
    for tag in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(data, tag)
    data.Modality, data.PixelRepresentation, data.PixelData = "DX", 0, pixels.T.astype("<u2").tobytes()
    for tag, value in tags.items():
        setattr(data, tag, value)
    data.save_as(path)
    return path


def test_a_radiograph_is_a_flat_image(tmp_path):
    pixels = np.arange(7 * 5).reshape(7, 5) * 1500
    radiograph(tmp_path / "a", pixels)
    volume, grid = formats.read(tmp_path / "a"), formats.read_grid(tmp_path / "a")
    np.testing.assert_array_equal(volume.voxels, pixels)
    assert (volume.spacing_mm, grid.spacing_mm, grid.shape, grid.oriented) == (None, None, (7, 5), False)
    radiograph(tmp_path / "b", pixels, ImagerPixelSpacing=[0.2, 0.1], PhotometricInterpretation="MONOCHROME1")
    volume = formats.read(tmp_path / "b")
    np.testing.assert_array_equal(volume.voxels, 65535 - pixels)
    assert volume.spacing_mm == formats.read_grid(tmp_path / "b").spacing_mm == (0.1, 0.2)
    radiograph(tmp_path / "c", pixels, ImagerPixelSpacing=[0.2, 0.1], PixelSpacing=[0.15, 0.12])
    assert formats.read(tmp_path / "c").spacing_mm == (0.12, 0.15)


def test_radiographs_lie_in_folders_of_their_own(tmp_path):
    pixels = np.arange(35).reshape(7, 5)
    radiograph(tmp_path / "a", pixels)
    radiograph(tmp_path / "b", pixels).rename(tmp_path / "a" / "other.dcm")
    with pytest.raises(UserError, match=r"a holds 2 images, radiographs among them .* put each file into a folder"):
        formats.read(tmp_path / "a")
    radiograph(tmp_path / "c", pixels, NumberOfFrames=3)
    with pytest.raises(UserError, match="multi-frame file that does not say where"):
        formats.read(tmp_path / "c")
