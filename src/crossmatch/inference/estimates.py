"""The form of quality.json: what is estimated of a mask, and what the estimates come from.

A file in another form is refused. `inference/quality_record.py` reads and writes it.
"""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch.scoring.recorded_files import SourceFile

_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, lt=2**63)]


class Estimate(TypedDict):
    """A Dice that is expected, and between which values it lies in most cases; null: there is no calibration."""

    dice: _Share | None
    low: _Share | None
    high: _Share | None
    agreement: _Share | None  # mean Dice of the decodings against their mean; null: nothing was found in any of them
    soft_dice: _Share | None  # of the mask with the network's probabilities; null: the class is not in the mask
    border_entropy: _Share | None  # mean entropy at the predicted border, 1: all classes alike; null: no border


class ClassQuality(Estimate):
    """The quality of one class of a mask."""

    voxels: _Count
    volume_ml: _Amount | None  # null: the voxel size is unknown, or the scan is a picture
    surface_cm2: _Amount | None
    components: _Count  # connected by faces
    edge_share: _Share  # of the mask's voxels, those in the outermost voxels of the scan's long axes


class CaseQuality(Estimate):
    """The quality of one mask; the numbers of the case are means over the classes."""

    flags: list[str]  # plain sentences; what lies outside of the training data stands first
    out_of_distribution: bool
    grey_distance: _Amount | None  # by how many ranges of a training scan grey values lie outside; null: unknown
    spacing_distance: _Amount | None  # factor to the nearest voxel size of the training, 1 is inside; null: unknown
    classes: dict[str, ClassQuality]
    mask: SourceFile
    scan: list[SourceFile]  # as prediction.json has them


class ReliabilityBin(TypedDict):
    """Voxels whose predicted class has a probability in one range."""

    confidence: _Share  # their mean probability
    accuracy: _Share  # share of them that is right
    share: _Share  # of all voxels that count


class Reliability(TypedDict):
    """How right the probabilities of the foreground and its surroundings are, on the cases of the calibration."""

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]  # logits are divided by it
    ece_before: _Share  # expected calibration error
    ece_after: _Share  # with the temperature; each case by one that was fitted on the others
    bins_before: list[ReliabilityBin]
    bins_after: list[ReliabilityBin]


class CalibrationFacts(TypedDict):
    """What the estimates were fitted on."""

    method: Literal["validation", "labelled", "none"]  # labelled: the network was trained on these cases
    told: str  # the same in one plain sentence
    cases: list[str]
    weights_sha256: str  # of the checkpoint
    level: _Share  # share of cases that the intervals are to hold
    error: _Share | None  # mean absolute error of the estimated mean Dice, each case estimated from the others
    reliability: Reliability | None


class MadeBy(TypedDict):
    """What made the masks, see prediction.json."""

    run: str
    checkpoint: str
    step: _Count
    weights_sha256: str
    flips: bool
    views: list[str]  # the decodings that are compared, in words


class StoredQuality(TypedDict):
    """The content of quality.json."""

    format: Literal["crossmatch quality 2"]
    made_by: MadeBy
    calibration: CalibrationFacts
    labels: dict[str, _Count]  # without background
    cases: dict[str, CaseQuality]
