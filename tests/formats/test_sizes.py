"""Headers that claim too much are refused before memory is taken; compressed files are verified to their end."""

import bz2
import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import nrrd
import numpy as np
import pytest

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats.dicom import read_series, read_slices
from crossmatch.formats.hdf5 import read_pair
from la_files import LPS
from tiny import write_nifti
from tiny_dicom import edit, write_series

LITTLE = 2**25  # bytes that a refusal may take
VOXELS = np.random.default_rng(0).integers(0, 900, (9, 8, 4)).astype(np.int16)


def _nifti(folder: Path, size: int, ending: str) -> Path:
    """A header of size**3 voxels, and none of them."""
    path = write_nifti(folder / "scan.nii", VOXELS)
    content = bytearray(path.read_bytes()[:352])
    content[40:48] = np.array([3, size, size, size], "<i2").tobytes()
    path.with_name(f"scan{ending}").write_bytes(gzip.compress(content) if ending == ".nii.gz" else bytes(content))
    return path.with_name(f"scan{ending}")


def _nrrd(folder: Path, encoding: str, data: bytes, **fields: object) -> Path:
    header = {"type": "short", "dimension": 3, "sizes": "9 8 4", "endian": "little", "encoding": encoding}
    header |= {"space": LPS["space"], "space directions": "(1,0,0) (0,1,0) (0,0,1)"}
    header |= {name.replace("_", " "): value for name, value in fields.items()}
    text = "NRRD0004\n" + "".join(f"{name}: {value}\n" for name, value in header.items()) + "\n"
    (folder / "scan.nrrd").write_bytes(text.encode() + data)
    return folder / "scan.nrrd"


def _hdf5(folder: Path) -> Path:
    with h5py.File(folder / "scan.h5", "w") as file:
        for name, dtype in (("image", "f4"), ("label", "u1")):
            file.create_dataset(name, (1000, 1000, 1000), dtype, chunks=(100, 100, 100), compression="gzip")
    return folder / "scan.h5"


def _dicom(folder: Path) -> Path:
    for path in write_series(folder / "series", VOXELS):
        edit(path, Rows=60000, Columns=60000)
    return folder / "series"


CLAIMS: dict[str, Callable[[Path], Path]] = {
    "NIfTI": lambda folder: _nifti(folder, 30000, ".nii"),
    "NIfTI, gzip": lambda folder: _nifti(folder, 1000, ".nii.gz"),
    "NRRD, raw": lambda folder: _nrrd(folder, "raw", b"", sizes="30000 30000 30000"),
    "NRRD, raw, from its end": lambda folder: _nrrd(folder, "raw", b"", sizes="9 8 40000", byte_skip=-1),
    "NRRD, gzip": lambda folder: _nrrd(folder, "gzip", gzip.compress(b""), sizes="1000 1000 1000"),
    "NRRD, text": lambda folder: _nrrd(folder, "ascii", b"1 2 3", sizes="1000 1000 1000"),
    "NRRD, more than claimed": lambda folder: _nrrd(folder, "gzip", gzip.compress(bytes(2**28), 1)),
    "NRRD, bz2, more than claimed": lambda folder: _nrrd(folder, "bzip2", bz2.compress(bytes(2**27), 1)),
    "NRRD, lines": lambda folder: _nrrd(folder, "raw", VOXELS.tobytes(), line_skip=99999999),
    "NRRD, negative": lambda folder: _nrrd(folder, "raw", VOXELS.tobytes(), line_skip=-1),
    "HDF5": _hdf5,
    "DICOM": _dicom,
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_claim_that_cannot_be_is_refused_with_little_memory(kind, tmp_path):
    path = CLAIMS[kind](tmp_path)

    def read() -> object:
        if kind == "HDF5":
            return read_pair(path, 3, 2)
        return read_series(read_slices(path)) if kind == "DICOM" else formats.read(path)

    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=str(tmp_path)):
            read()
        assert tracemalloc.get_traced_memory()[1] < LITTLE
    finally:
        tracemalloc.stop()


def test_empty_space_compresses_well_and_is_read(tmp_path):
    """A label without foreground shrinks some hundredfold, and is no fault."""
    empty = np.zeros((200, 200, 100), np.uint8)
    path = write_nifti(tmp_path / "label.nii.gz", empty)
    assert path.stat().st_size * 200 < empty.nbytes
    assert formats.read(path).voxels.shape == empty.shape
    nrrd.write(str(tmp_path / "label.nrrd"), empty, {**LPS, "encoding": "bzip2"})
    assert np.array_equal(formats.read(tmp_path / "label.nrrd").voxels, empty)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_a_damaged_compressed_file_is_refused_or_read_right(ending, place, tmp_path):
    """Bits from the first voxels to the checksum. Some are of no consequence: those of codes that nothing uses."""
    path = tmp_path / f"scan{ending}"
    if ending == ".nrrd":
        nrrd.write(str(path), VOXELS, {**LPS, "encoding": "gzip"})
    else:
        write_nifti(path, VOXELS)
    sound = path.read_bytes()
    begin = sound.index(b"\n\n") + 12 if ending == ".nrrd" else 100
    at = min(len(sound) - 8, begin + int(place * (len(sound) - begin)))
    refused = 0
    for byte in range(at, min(at + 8, len(sound))):
        for bit in range(8):
            path.write_bytes(sound[:byte] + bytes([sound[byte] ^ 1 << bit]) + sound[byte + 1 :])
            try:
                found = formats.read(path).voxels
            except UserError:
                refused += 1
                continue
            assert np.array_equal(found, VOXELS)
    assert refused >= 50


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", "u2", "i4", "u4", "i8", "u8", "f4", ">f8"])
def test_nrrd_is_read_as_pynrrd_reads_it(encoding, dtype, tmp_path):
    voxels = VOXELS.astype(dtype) if dtype[-2] != "f" else VOXELS.astype(dtype) / 8
    if dtype in ("i1", "u1"):
        voxels = (VOXELS % 100).astype(dtype)
    path = tmp_path / "scan.nrrd"
    nrrd.write(str(path), voxels, {**LPS, "encoding": encoding})
    found, header = nrrd.read(str(path))
    volume = formats.read(path)
    assert np.array_equal(volume.voxels, found.astype(volume.voxels.dtype))
    assert np.array_equal(volume.voxels, voxels.astype(volume.voxels.dtype))
    assert header["encoding"] == encoding


@pytest.mark.parametrize("fields", [{"byte_skip": 7}, {"line_skip": 2}, {"byte_skip": -1}])
def test_what_is_to_be_skipped_is_skipped(fields, tmp_path):
    before = b"1234567" if fields.get("byte_skip") != 0 and "line_skip" not in fields else b"a\nb\n"
    path = _nrrd(tmp_path, "raw", before + VOXELS.tobytes(order="F"), **fields)
    assert np.array_equal(formats.read(path).voxels, VOXELS)


@pytest.mark.parametrize("name", ["../data.raw", "/etc/passwd", "sub/data.raw"])
def test_voxels_in_another_folder_are_not_opened(name, tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for place in (tmp_path / "data.raw", tmp_path / "in" / "sub" / "data.raw"):
        place.write_bytes(VOXELS.tobytes(order="F"))
    path = _nrrd(tmp_path / "in", "raw", b"", data_file=name)
    with pytest.raises(UserError, match="put that file beside it"):
        formats.read(path)


def test_voxels_beside_the_header_are_read(tmp_path):
    (tmp_path / "data.raw").write_bytes(VOXELS.tobytes(order="F"))
    assert np.array_equal(formats.read(_nrrd(tmp_path, "raw", b"", data_file="data.raw")).voxels, VOXELS)
    (tmp_path / "data.raw").unlink()
    with pytest.raises(UserError, match=r"data\.raw, which does not exist: copy both"):
        formats.read(tmp_path / "scan.nrrd")


def test_arrays_in_other_files_are_not_opened(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["image"], file["label"] = np.ones((2, 2, 2), np.float32), np.ones((2, 2, 2), np.uint8)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["image"], file["label"] = np.ones((2, 2, 2), np.float32), h5py.ExternalLink("other.h5", "label")
    layout = h5py.VirtualLayout((2, 2, 2), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "image", (2, 2, 2))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file["label"] = np.ones((2, 2, 2), np.uint8)
        file.create_virtual_dataset("image", layout)
    for name, told in (("link", "'label' in another place or file"), ("virtual", "'image' in other files")):
        with pytest.raises(UserError, match=told):
            read_pair(tmp_path / f"{name}.h5", 3, 2)
    assert read_pair(tmp_path / "other.h5", 3, 2)[1].all()
