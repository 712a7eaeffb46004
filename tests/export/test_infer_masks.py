"""infer.py gives the masks of `crossmatch predict`, whatever stands around the network."""

import ast
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from exporting import KINDS, Sliced, assert_same_masks, load_infer, masks_in, run_of, write_scans
from PIL import Image

from crossmatch import formats
from crossmatch.export import infer, infer_pictures
from crossmatch.export.description import describe
from crossmatch.export.export_run import export_run, write_sums
from crossmatch.export.infer_pictures import segment_picture
from crossmatch.export.program import Probabilities, quiet
from crossmatch.inference.predict import Options, predict

CPU = Options(device="cpu")


def test_an_exported_onnx_model_gives_the_masks_of_predict(sliced: Sliced, tmp_path: Path) -> None:
    same_masks(sliced, tmp_path)


@pytest.mark.parametrize("kind", ["volumes", "resampled", "colour"])
def test_so_it_does_in_3d_resampled_and_in_colour(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra [export] is not installed")
    run, scans = run_of(kind, tmp_path / "run").folder, write_scans(kind, tmp_path / "scans")
    same_masks(Sliced(run, scans, export_run(run, tmp_path / "model", "onnx")), tmp_path)


def same_masks(model: Sliced, folder: Path) -> None:
    predict(model.run, model.scans, folder / "ours", CPU)
    load_infer(model.exported).main(model.scans, folder / "theirs")
    assert_same_masks(folder / "theirs", folder / "ours")


def test_an_exported_torch_program_gives_the_masks_of_predict(sliced: Sliced, tmp_path: Path) -> None:
    with quiet():
        same_masks(sliced._replace(exported=export_run(sliced.run, tmp_path / "model", "torch")), tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("slices", "volumes", "colour")])
def test_what_stands_around_the_network_is_that_of_predict(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file of the network, which is exported above: PyTorch's own takes its place."""
    run, scans = run_of(kind, tmp_path / "run"), write_scans(kind, tmp_path / "scans")
    predict(run.folder, scans, tmp_path / "ours", CPU)
    network, checkpoint = run.load_network()
    program = Probabilities(network)
    about = describe(run, network, checkpoint, "last", "model.onnx")
    model = model_of(about, tmp_path, lambda images: program(torch.from_numpy(images)).numpy())
    monkeypatch.setattr(infer, "ExportedModel", lambda: model)
    infer.main(scans, tmp_path / "theirs")
    assert_same_masks(tmp_path / "theirs", tmp_path / "ours")


def model_of(about: dict, folder: Path, network) -> infer.ExportedModel:
    (folder / "model.json").write_text(json.dumps(about))
    write_sums(folder)
    return infer.ExportedModel(folder, network)


def test_infer_needs_what_it_says_and_no_more() -> None:
    tree = ast.parse(Path(infer.__file__).read_text())
    inside = [node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in function.body]
    nested = {id(node) for each in inside for node in ast.walk(each)}
    imported: dict[bool, set[str]] = {True: set(), False: set()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            imported[id(node) in nested] |= {str(name).split(".")[0] for name in names}
    assert imported[True] == {"onnxruntime", "torch", "crossmatch"}  # of ours, the file beside it
    assert imported[False] - sys.stdlib_module_names == {"numpy", "nibabel"}
    assert len(Path(infer.__file__).read_text().splitlines()) <= 250


def test_infer_refuses_what_it_cannot_do(sliced: Sliced, tmp_path: Path) -> None:
    module, (scan, *_) = load_infer(sliced.exported), sorted(sliced.scans.iterdir())
    model = module.ExportedModel(threads=1)
    voxels, affine, spacing = module.channel_of(nib.load(scan))
    assert model.labels([(voxels, affine, spacing)]).shape == voxels.shape
    for channels, message in (
        ([(voxels, affine, spacing)] * 2, "the model takes MR in 2D on one grid"),
        ([(voxels[None], affine, spacing)], "1 channels of 4 axes"),
        ([(np.ones_like(voxels), affine, spacing)], "constant"),
        ([(np.full(voxels.shape, np.nan), affine, spacing)], "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            model.labels(channels)
    (tmp_path / "model.json").write_text(json.dumps({**model.about, "format": "crossmatch export 2"}))
    write_sums(tmp_path)
    with pytest.raises(ValueError, match="crossmatch export 2"):
        module.ExportedModel(tmp_path)


def test_infer_refuses_folders_that_cannot_be(sliced: Sliced, tmp_path: Path) -> None:
    module, (scan, *_) = load_infer(sliced.exported), sorted(sliced.scans.iterdir())
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("notes")
    module.main(scan, tmp_path / "out")
    for source, out, message in (
        (scan, tmp_path / "out", r"case_0\.nii\.gz exists already: name another folder; nothing was overwritten"),
        (sliced.scans, tmp_path / "out", "case_0"),  # before any other is computed
        (sliced.scans, sliced.scans, "holds the scans"),
        (sliced.scans, tmp_path / "file", "file exists already"),
        (tmp_path / "empty", tmp_path / "nothing", "empty is, or holds, no NIfTI file and no picture"),
        (tmp_path / "gone" / "scans", tmp_path / "nothing", "scans is, or holds, no NIfTI file and no picture"),
    ):
        with pytest.raises(ValueError, match=message):
            module.main(source, out)
    assert masks_in(tmp_path / "out") == ["case_0.nii.gz"]
    assert (tmp_path / "file").read_text() == "notes"
    assert not (tmp_path / "nothing").exists()


def test_masks_say_which_model_made_them(sliced: Sliced, tmp_path: Path) -> None:
    """More scans may follow with the same model, and none with another."""
    module, (first, *others) = load_infer(sliced.exported), sorted(sliced.scans.iterdir())
    module.main(first, tmp_path / "out")
    module.main(others[0], tmp_path / "out")
    note, about = tmp_path / "out" / "made_by.json", json.loads((sliced.exported / "model.json").read_text())
    made_by = json.loads(note.read_text())
    assert made_by == {key: about[key] for key in ("network", "method", "checkpoint", "step", "weights_sha256")}
    note.write_text(json.dumps({**made_by, "step": 99}, indent=2))
    masks = sorted(tmp_path.glob("out/*"))
    for mask in masks:
        if mask != note:
            mask.rename(tmp_path / mask.name)
    with pytest.raises(ValueError, match=r"out holds masks of another model, as .*made_by\.json says"):
        module.main(first, tmp_path / "out")
    assert [*tmp_path.glob("out/*")] == [note]


def test_scans_that_fail_are_named_and_do_not_stop_the_others(sliced: Sliced, tmp_path: Path) -> None:
    """One that is cut short, one whose checksum is wrong, though all its voxels can be read, and one with bad bytes."""
    scans = Path(shutil.copytree(sliced.scans, tmp_path / "scans"))
    whole = min(scans.iterdir()).read_bytes()
    for name, content in (
        ("a_short", whole[: len(whole) // 2]),
        ("b_sum", whole[:-8] + bytes(4) + whole[-4:]),
        ("c_bytes", whole[:400] + bytes(40) + whole[440:]),
    ):
        (scans / f"{name}.nii.gz").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_infer(sliced.exported).main(scans, tmp_path / "out")
    told = str(caught.value).splitlines()
    assert [Path(line.split(":")[0]).name.split("_")[0] for line in told[:-1]] == ["a", "b", "c"]
    assert told[-1] == f"3 of {len([*scans.iterdir()])} scans have no mask"
    assert len(masks_in(tmp_path / "out")) == len([*sliced.scans.iterdir()])


def test_files_that_may_be_channels_or_twins_are_refused(sliced: Sliced, tmp_path: Path) -> None:
    """As `predict` does: a_0000 beside a_0001, where the network takes one channel, and a.nii beside a.nii.gz."""
    scans, module = tmp_path / "scans", load_infer(sliced.exported)
    scans.mkdir()
    image = nib.load(min(sliced.scans.iterdir()))
    for name in ("a_0000.nii.gz", "a_0001.nii.gz", "b.nii", "b.nii.gz", "c_0007.nii.gz", "d_0000.nii.gz"):
        nib.save(image, scans / name)
    with pytest.raises(ValueError) as caught:
        module.main(scans, tmp_path / "out")
    first, second, last = str(caught.value).splitlines()
    assert "a_0001.nii.gz: 2 channels" in first
    assert "b.nii.gz: 2 channels" in second
    assert last == "2 of 4 scans have no mask"
    assert masks_in(tmp_path / "out") == ["c_0007.nii.gz", "d.nii.gz"]


def test_channels_have_the_numbers_that_the_model_takes(tmp_path: Path) -> None:
    """As with `predict`: bad_0001 and bad_0002 are not channels 0 and 1. A name without a number is channel 0."""
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.uint8), np.eye(4))
    names = ("bad_0001.nii.gz", "bad_0002.nii.gz", "double_0000.nii", "double_0000.nii.gz", "short_0000.nii")
    for name in (*names, "good_0000.nii.gz", "good_0001.nii.gz", "plain.nii", "plain_0001.nii"):
        nib.save(image, tmp_path / name)
    model = SimpleNamespace(about={"channels": ["T1", "T2"]}, mask=lambda images: images[0])
    with pytest.raises(ValueError) as caught:
        infer.main(tmp_path, tmp_path / "out", model)
    bad, double, short, last = str(caught.value).splitlines()
    assert bad.endswith(
        "bad_0002.nii.gz: 2 channels by the names (_0001, _0002); the model takes 2, CASE_0000 to CASE_0001: add or "
        "rename files"
    )
    assert "double_0000.nii.gz: 2 channels by the names (_0000, _0000)" in double
    assert "short_0000.nii: 1 channel by the names (_0000)" in short
    assert last == "3 of 5 scans have no mask"
    assert masks_in(tmp_path / "out") == ["good.nii.gz", "plain.nii"]
    with pytest.raises(ValueError, match=r"bad_0001.*\n1 of 1 scans have no mask"):
        infer.main(tmp_path / "bad_0001.nii.gz", tmp_path / "other", model)
    pytest.importorskip("monai", reason="MONAI is not installed")
    from crossmatch.export.bundle_steps import scans

    with pytest.raises(ValueError, match=r"bad_0001(.|\n)*double(.|\n)*short(.|\n)*3 of 5 scans cannot be used"):
        scans(str(tmp_path), 2)
    for name in names:
        (tmp_path / name).unlink()
    assert [[Path(file).name for file in each["image"]] for each in scans(str(tmp_path), 2)] == [
        ["good_0000.nii.gz", "good_0001.nii.gz"],
        ["plain.nii", "plain_0001.nii"],
    ]
    with pytest.raises(ValueError, match=r"good_0001\.nii\.gz: 2 channels.*\n1 of 3 scans cannot be used"):
        scans(str(tmp_path), 1)


def test_a_picture_may_hold_all_channels(tmp_path: Path) -> None:
    for name in ("a.png", "b_0000.tif", "c_0002.png"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name)
    taken = []
    model = SimpleNamespace(
        about={"channels": ["R", "G", "B"]}, labels=lambda channels: taken.append(len(channels)) or channels[0][0]
    )
    with pytest.raises(ValueError, match=r"c_0002.png: 1 channel by the names \(_0002\); the model takes 3"):
        infer.main(tmp_path, tmp_path / "out", model)
    assert taken == [3, 3]
    assert masks_in(tmp_path / "out") == ["a.png", "b.png"]


def test_a_stack_of_pictures_is_refused(tmp_path: Path) -> None:
    """As `predict` does; Pillow alone would take the first page."""
    pages = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 200)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match="2 pictures in one file: save each as a file of its own"):
        segment_picture(None, [tmp_path / "stack.tif"], tmp_path / "mask.png")
    assert not (tmp_path / "mask.png").exists()


def test_a_header_without_voxel_size_is_refused(sliced: Sliced, tmp_path: Path) -> None:
    """nibabel alone would take 1 mm."""
    content = bytearray(gzip.decompress(min(sliced.scans.iterdir()).read_bytes()))
    content[80:92] = bytes(12)
    (tmp_path / "zero.nii").write_bytes(content)
    command = [sys.executable, sliced.exported / "infer.py", tmp_path / "zero.nii", tmp_path / "out"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "pixdim" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["model.json", "model.onnx", "SHA256SUMS"])
@pytest.mark.parametrize("damage", [lambda old: old[: len(old) // 2], lambda old: old.replace(b"1", b"7"), None])
def test_a_model_that_is_damaged_is_refused_in_words(sliced: Sliced, name: str, damage, tmp_path: Path) -> None:
    model = Path(shutil.copytree(sliced.exported, tmp_path / "model"))
    if damage is None:
        (model / name).unlink()
    else:
        (model / name).write_bytes(damage((model / name).read_bytes()))
    command = [sys.executable, model / "infer.py", sliced.scans, tmp_path / "out"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Traceback" not in ended.stderr
    assert "is not what SHA256SUMS beside it says: copy the whole folder again" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_all_files_of_an_export_are_summed_as_sha256sum_reads_them(sliced: Sliced) -> None:
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("there is no sha256sum")
    ended = subprocess.run(
        [tool, "--check", "--strict", "SHA256SUMS"], cwd=sliced.exported, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    others = {path.name for path in sliced.exported.iterdir()} - {"SHA256SUMS", "__pycache__"}
    assert {line.split(":")[0] for line in ended.stdout.splitlines()} == others


def test_infer_tells_how_it_is_called(sliced: Sliced) -> None:
    """Asked, on stdout and as no error; called wrongly, on stderr."""
    command = [sys.executable, str(sliced.exported / "infer.py")]
    asked, wrong = (subprocess.run([*command, *words], capture_output=True, text=True) for words in (["--help"], []))
    assert (asked.returncode, asked.stderr) == (0, "")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "python infer.py INPUT OUT" in asked.stdout
    assert asked.stdout.strip() == wrong.stderr.strip()


@pytest.mark.parametrize("old", [1, 2, 9, 16, 31, 100, 257])
@pytest.mark.parametrize("new", [1, 2, 16, 128, 200])
def test_slices_are_looked_up_as_in_training(old: int, new: int) -> None:
    from crossmatch.inference.predictor import _resize_nearest

    line = torch.arange(old, dtype=torch.float32).view(1, 1, old, 1)
    wanted = _resize_nearest(line, (new, 1)).flatten().long().tolist()
    assert infer.nearest(old, new).tolist() == wanted


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_mask_of_a_picture_is_stored_as_that_is_with_the_note_of_its_camera(turn: int, tmp_path: Path) -> None:
    pixels, exif = np.arange(12, dtype=np.uint8).reshape(3, 4), Image.Exif()
    exif[274] = turn
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    infer_pictures.segment_picture(
        SimpleNamespace(labels=lambda channels: channels[0][0]), [tmp_path / "a.png"], tmp_path / "b.png"
    )
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png")), pixels)
    formats.refuse_other_turn(tmp_path / "b.png", tmp_path / "a.png")
