"""DICOM segmentations, read back with highdicom: mask, place, names, codes and the series they refer to."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from crossmatch import formats
from crossmatch.errors import UserError
from tiny_dicom import write_multiframe, write_series

highdicom = pytest.importorskip("highdicom")
LABELS = {"background": 0, "liver": 1, "my structure": 2, "tumour": 3}
SHAPE = (7, 5, 4)  # columns, rows, slices


def mask() -> np.ndarray:
    found = np.zeros(SHAPE, np.uint8)
    found[1:4, 1:3, 1], found[5, 4, 2], found[6, 0, 0] = 1, 2, 1
    return found


@pytest.mark.parametrize("falling", [False, True], ids=["numbers rise", "numbers fall"])
@pytest.mark.parametrize("frames", [False, True], ids=["a file a slice", "frames"])
def test_highdicom_reads_the_mask_where_it_lies(tmp_path: Path, falling: bool, frames: bool) -> None:
    stored = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)
    if frames:
        if falling:
            pytest.skip("frames have no numbers")
        paths = [write_multiframe(tmp_path / "scan/a.dcm", stored, order=(2, 0, 3, 1))]
    else:
        paths = write_series(tmp_path / "scan", stored, falling=falling)
    scan = formats.read(tmp_path / "scan")
    path = tmp_path / "mask.seg.dcm"
    formats.write(path, mask(), like=scan, labels=LABELS)

    found = highdicom.seg.segread(str(path))
    volume = found.get_volume(combine_segments=True)
    for index in np.argwhere(mask()):
        lps = (scan.affine @ (*index, 1))[:3] * (-1, -1, 1)
        place = np.rint(np.linalg.solve(volume.affine, (*lps, 1)))[:3].astype(int)
        np.testing.assert_allclose((volume.affine @ (*place, 1))[:3], lps, atol=1e-6)
        assert volume.array[tuple(place)] == mask()[tuple(index)]
    assert int((volume.array > 0).sum()) == int((mask() > 0).sum())
    assert [each.SegmentLabel for each in found.SegmentSequence] == ["liver", "my structure", "tumour"]
    types = [each.SegmentedPropertyTypeCodeSequence[0] for each in found.SegmentSequence]
    assert [(each.CodeValue, each.CodingSchemeDesignator) for each in types] == [
        ("10200004", "SCT"),
        ("my structure", "99CROSSMATCH"),
        ("108369006", "SCT"),
    ]
    first = dcmread(paths[0])
    assert found.StudyInstanceUID == first.StudyInstanceUID
    assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID
    series = found.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {each.ReferencedSOPInstanceUID for each in series} == {dcmread(each).SOPInstanceUID for each in paths}

    label = formats.read_label(path, scan)
    np.testing.assert_array_equal(label.voxels, mask())
    assert formats.same_grid(label, scan)


def test_an_empty_mask_is_written_too(tmp_path: Path) -> None:
    write_series(tmp_path / "scan", np.arange(140, dtype=np.int16).reshape(SHAPE))
    scan = formats.read(tmp_path / "scan")
    formats.write(tmp_path / "a.seg.dcm", np.zeros(SHAPE, np.uint8), like=scan, labels=LABELS)
    assert not formats.read_label(tmp_path / "a.seg.dcm", scan).voxels.any()


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_shares_of_voxels_are_refused_by_their_name(tmp_path: Path, share: float) -> None:
    """Shares of 0 and 1 alone are a mask."""
    files = write_series(tmp_path / "scan", np.arange(140, dtype=np.int16).reshape(SHAPE))
    scan = formats.read(tmp_path / "scan")
    formats.write(tmp_path / "a.seg.dcm", mask() == 1, like=scan, labels={"background": 0, "liver": 1})
    binary = highdicom.seg.segread(str(tmp_path / "a.seg.dcm"))
    shares = (mask() == 1).astype(np.float32)
    shares[2, 1, 1] = share
    highdicom.seg.Segmentation(
        source_images=[formats.dicom_seg._source(path, scan) for path in files],
        pixel_array=np.ascontiguousarray(shares.T),
        segmentation_type="FRACTIONAL",
        segment_descriptions=[binary.get_segment_description(1)],
        series_instance_uid="1.2.3",
        series_number=1,
        sop_instance_uid="1.2.3.4",
        instance_number=1,
        manufacturer="a",
        manufacturer_model_name="b",
        software_versions="1",
        device_serial_number="0",
    ).save_as(tmp_path / "shares.seg.dcm")
    if share == 1:
        np.testing.assert_array_equal(formats.read_label(tmp_path / "shares.seg.dcm", scan).voxels, mask() == 1)
        return
    with pytest.raises(UserError, match=r"holds shares or probabilities .*export the segmentation as BINARY"):
        formats.read_label(tmp_path / "shares.seg.dcm", scan)


def test_it_needs_a_series_and_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = formats.new_volume(mask(), np.eye(4))
    with pytest.raises(UserError, match=r"a\.seg\.dcm would refer to a DICOM series, and the scan is none"):
        formats.write(tmp_path / "a.seg.dcm", mask(), like=other, labels=LABELS)
    with pytest.raises(UserError, match=r"x\.nii\.gz is no DICOM series, which a DICOM segmentation refers to"):
        formats.mask_ending(Path("x.nii.gz"), "dicom-seg", formats.Grid(SHAPE, np.eye(4), None))
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(UserError, match=r"needs the package highdicom: pip install 'crossmatch\[dicom\]'"):
        formats.write(tmp_path / "a.seg.dcm", mask(), like=other, labels=LABELS)


def test_codes_that_are_given(tmp_path: Path) -> None:
    write_series(tmp_path / "scan", np.arange(140, dtype=np.int16).reshape(SHAPE))
    scan = formats.read(tmp_path / "scan")
    given = formats.parse_codes(["my structure=finding:SCT:27925004:Nodule", "liver=99MINE:L1:My liver"], LABELS)
    formats.write(tmp_path / "a.seg.dcm", mask(), like=scan, labels=LABELS, codes=given)
    found = highdicom.seg.segread(str(tmp_path / "a.seg.dcm")).SegmentSequence
    types = [each.SegmentedPropertyTypeCodeSequence[0] for each in found]
    assert [(each.CodeValue, each.CodingSchemeDesignator, each.CodeMeaning) for each in types] == [
        ("L1", "99MINE", "My liver"),
        ("27925004", "SCT", "Nodule"),
        ("108369006", "SCT", "Neoplasm"),
    ]
    kinds = [each.SegmentedPropertyCategoryCodeSequence[0].CodeValue for each in found]
    assert kinds[1] == kinds[2] != kinds[0]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["liver=SCT:1"], "is not LABEL=SCHEME:VALUE:MEANING"),
        (["spleen=SCT:1:Spleen"], "spleen is no label of the run, which has liver, my structure, tumour"),
        (["background=SCT:1:Nothing"], "background is no label"),
        (["liver=SCT:1:Liver", "liver=SCT:2:Liver"], "gives liver two codes"),
        ([f"liver=SCT:{'1' * 17}:Liver"], "the value has more than 16 characters"),
    ],
)
def test_codes_that_do_not_fit(texts: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        formats.parse_codes(texts, LABELS)
