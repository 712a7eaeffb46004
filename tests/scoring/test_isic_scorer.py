"""Our scores of a folder of masks equal those of the challenge's own scorer, isic-challenge-scoring 5.6."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossmatch.atomic import write_json
from crossmatch.errors import UserError
from crossmatch.importers.isic import import_isic
from crossmatch.scoring.evaluate import evaluate, load_evaluation
from crossmatch.scoring.metrics import threshold_jaccard
from isic_folders import truths, write_isic

NAMES = [f"ISIC_{1200000 + number:07d}" for number in range(8)]
write_submission = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "isic_challenge.py"))["main"]
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # of the scorer, which pandas 3 warns of


@pytest.fixture
def scored(tmp_path: Path):
    """Test images of odd sizes, with masks that miss more and more; one empty mask, one that equals its reference."""
    source = write_isic(tmp_path / "src", training=2, test=NAMES, shape=(37, 53))
    import_isic(source, tmp_path / "data")
    references, masks = tmp_path / "data" / "labelsTs", tmp_path / "masks"
    masks.mkdir()
    rng = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        mask = np.asarray(Image.open(references / f"{name}.png"))
        flipped = rng.random(mask.shape) < 0.02 * number
        mask = np.zeros_like(mask) if number == len(NAMES) - 1 else np.where(flipped, 1 - mask, mask)
        Image.fromarray(mask.astype(np.uint8)).save(masks / f"{name}.png")
    return source, masks, references


def test_equal_to_the_challenges_scorer(scored, tmp_path: Path) -> None:
    scorer = pytest.importorskip("isic_challenge_scoring.segmentation")
    source, masks, references = scored
    write_submission(masks, tmp_path / "submission")
    theirs = scorer.SegmentationScore.from_dir(truths(source, "Test"), tmp_path / "submission").macro_average
    ours = evaluate(masks, references, tmp_path / "out").statistics()
    for metric in ("dice", "jaccard", "threshold_jaccard"):
        assert ours[metric].mean == pytest.approx(theirs[metric], abs=1e-9)
    assert 0.2 < ours["threshold_jaccard"].mean < ours["jaccard"].mean - 0.01
    assert ours["hd95_voxels"].cases == len(NAMES) - 1
    assert "hd95_mm" not in ours
    assert (tmp_path / "out" / "cases.csv").read_text().startswith("case,class,value,dice,jaccard,threshold_jaccard,")
    again = load_evaluation(tmp_path / "out")
    assert "Threshold Jaccard\n%" in [column.header for column in again.table().columns]
    assert (again.jaccard_threshold, again.statistics()) == (0.65, ours)
    rows = {row.case: row.scores for row in again.rows}
    assert rows[NAMES[0]]["threshold_jaccard"] == 1
    assert rows[NAMES[-1]]["threshold_jaccard"] == 0


def test_each_image_equals_the_challenges_scorer(scored, tmp_path: Path) -> None:
    """Image by image, so that errors could not cancel in the mean."""
    scorer = pytest.importorskip("isic_challenge_scoring.segmentation")
    source, masks, references = scored
    write_submission(masks, tmp_path / "submission")
    rows = {row.case: row.scores for row in evaluate(masks, references).rows}
    pairs = list(scorer.iter_image_pairs(truths(source, "Test"), tmp_path / "submission"))
    assert len(pairs) == len(NAMES)
    for pair in pairs:
        theirs = scorer.SegmentationScore([pair]).macro_average
        found = {metric: theirs[metric] for metric in ("dice", "jaccard", "threshold_jaccard")}
        assert {metric: rows[pair.image_id][metric] for metric in found} == pytest.approx(found, abs=1e-9)


def test_threshold_by_hand() -> None:
    """13 of 20 is 0.65, which counts; 12 of 20 does not."""
    ref = np.ones(20, bool)
    assert threshold_jaccard(np.arange(20) < 13, ref) == 0.65
    assert threshold_jaccard(np.arange(20) < 12, ref) == 0
    assert threshold_jaccard(np.arange(20) < 12, ref, threshold=0.5) == 0.6
    assert threshold_jaccard(~ref, ~ref) == 1


def test_no_threshold_no_column(scored, tmp_path: Path) -> None:
    """A dataset that states none has the columns that it had."""
    _, masks, references = scored
    description = references.parent / "dataset.json"
    stated = {"channel_names": ["red", "green", "blue"], "labels": {"background": 0, "lesion": 1}}
    write_json(description, stated)
    found = evaluate(masks, references, tmp_path / "out")
    assert "threshold_jaccard" not in found.statistics()
    assert "threshold" not in (tmp_path / "out" / "cases.csv").read_text()
    assert "threshold_jaccard" not in load_evaluation(tmp_path / "out").statistics()
    write_json(description, {**stated, "jaccard_threshold": 65})
    with pytest.raises(UserError, match=r"jaccard_threshold 65: it is a number from 0 to 1, such as 0\.65"):
        evaluate(masks, references)
