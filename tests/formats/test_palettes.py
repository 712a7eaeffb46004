"""Label pictures with palettes: a number must have one colour in all files: in import, check and evaluate."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command import call
from crossmatch.dataset.check import check
from crossmatch.errors import UserError
from crossmatch.formats.labels import palette_colours
from crossmatch.formats.palettes import mixed_palettes
from crossmatch.scoring.evaluate import evaluate

BLACK, RED, GREEN = (0, 0, 0), (255, 0, 0), (0, 255, 0)


def indexed(path: Path, *colours: tuple[int, int, int], used: tuple[int, ...] | None = None) -> Path:
    """A picture of 8 x 8 pixels that shows every number of the palette, or those `used`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.resize(np.array(range(len(colours)) if used is None else used, np.uint8), (8, 8))
    picture = Image.fromarray(pixels).convert("L")
    picture = Image.frombytes("P", picture.size, picture.tobytes())
    picture.putpalette([value for colour in colours for value in colour])
    picture.save(path)
    return path


def test_the_colours_that_the_pixels_have(tmp_path: Path) -> None:
    path = indexed(tmp_path / "a.png", BLACK, RED, GREEN, used=(0, 2))
    assert palette_colours(path) == {0: BLACK, 2: GREEN}
    assert palette_colours(indexed(tmp_path / "grey.png", BLACK, (9, 9, 9))) == {}
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "plain.png")
    assert palette_colours(tmp_path / "plain.png") == {}
    assert palette_colours(tmp_path / "a.nii.gz") == {}  # not even opened


def test_one_palette_for_all_is_sound(tmp_path: Path) -> None:
    files = [
        indexed(tmp_path / "a.png", BLACK, RED, GREEN),
        indexed(tmp_path / "b.png", BLACK, RED),
        indexed(tmp_path / "c.png", BLACK, (1, 2, 3), GREEN, used=(0, 2)),  # 1 is not in the picture
        indexed(tmp_path / "d.png", BLACK, RED, GREEN, BLACK),  # an entry that was not set
    ]
    assert mixed_palettes(files) == []


def test_numbers_that_change_their_colour_are_found(tmp_path: Path) -> None:
    first = indexed(tmp_path / "a.png", RED, BLACK)
    second = indexed(tmp_path / "b.png", GREEN, RED, BLACK)
    (told,) = mixed_palettes([first, second])
    assert f"the number 0 is #ff0000 in {first} and #00ff00 in {second}" in told
    assert "save the masks as grey PNG files" in told


def test_a_colour_that_changes_its_number_is_found(tmp_path: Path) -> None:
    first = indexed(tmp_path / "a.png", BLACK, RED)
    second = indexed(tmp_path / "b.png", BLACK, GREEN, RED, used=(0, 2))
    (told,) = mixed_palettes([first, second])
    assert f"#ff0000 is 1 in {first} and 2 in {second}" in told


def test_a_file_that_cannot_be_read_is_left_to_the_check_of_its_case(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert mixed_palettes([tmp_path / "a.png", indexed(tmp_path / "b.png", BLACK, RED)]) == []


def test_import_and_check_refuse_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, data = tmp_path / "raw", tmp_path / "data"
    for n, name in enumerate("ab"):
        (raw / "images").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(raw / "images" / f"{name}.png")
        indexed(raw / "masks" / f"{name}.png", BLACK, RED)
    assert call(capsys, "import", "folder", raw, data)[0] == 0
    indexed(data / "labelsTr" / "b.png", RED, BLACK)
    for refused in (lambda: check(data), lambda: evaluate(data / "labelsTr", data / "labelsTr")):
        with pytest.raises(UserError, match="the palettes of label files differ: the number 0 is #000000"):
            refused()
    indexed(raw / "masks" / "b.png", RED, BLACK)
    code, _, told = call(capsys, "import", "folder", raw, tmp_path / "again", "--names", "1=lesion")
    assert (code, (tmp_path / "again").exists()) == (2, False)
    assert "the palettes of label files differ" in " ".join(told.split())
