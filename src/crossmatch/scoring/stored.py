"""The form of summary.json and prediction.json. Files in another form are refused."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator, with_config
from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

FORMAT = "crossmatch evaluation 1"
CONVENTIONS = {
    "hd95": "95th percentile of the surface distances of both directions pooled (medpy)",
    "threshold_jaccard": "Jaccard of a case and class, 0 where it is below the dataset's jaccard_threshold",
    "asd": "mean surface distance from prediction to reference, directed",
    "assd": "mean surface distance of both directions pooled",
    "surface": "voxels lost by one erosion with the connectivity-1 structure, outside of the image is background; a "
    "single slice with a third axis of one voxel is flat",
    "ignore": "left out of both masks; a voxel is no surface because of a neighbour to be ignored alone, and a class "
    "of which one mask has no surface left has undefined distances",
    "empty": "both masks empty: Dice and Jaccard 1, distances 0; one empty: Dice and Jaccard 0, distances undefined",
    "undefined": "null here and nan in cases.csv; left out of means and counted, never 0",
    "std": "standard deviation over cases, ddof 1",
    "mean": "mean over cases of each case's mean over its defined classes; undefined counts cases with such a class",
}
_Natural = Annotated[int, Field(ge=0, lt=2**63)]
_Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _plain_name(name: str) -> str:
    if "/" in name or name in (".", ".."):
        raise ValueError("must be the name of a folder, not a path")
    return name


_Name = Annotated[str, AfterValidator(_plain_name)]


@with_config(ConfigDict(extra="allow"))
class Training(TypedDict, total=False):
    """What a training took, and on what it ran; older runs say less."""

    seconds: _Distance
    parameters: _Natural | None
    peak_memory_bytes: _Natural | None
    validation_dice: Annotated[float, Field(allow_inf_nan=False)] | None
    code: dict[str, str | int | None]
    device: dict[str, Any]
    versions: dict[str, str]


class MaskFile(TypedDict):
    """What is read of a mask in prediction.json."""

    sha256: str


@with_config(ConfigDict(extra="allow"))
class Prediction(TypedDict, total=False):
    """prediction.json: which run, checkpoint, settings and scans made the masks beside it."""

    run: str
    checkpoint: str
    step: _Natural
    weights_sha256: str
    flips: bool
    precision: Literal["bf16", "float32"]  # of the network
    recipe: dict[str, Any]
    data: dict[str, Any]
    training: Training
    begun_from: str  # the name of the run whose weights it began with; where there is one
    extended: list[dict[str, Any]]  # how a finished run went on to more steps; where it did
    members: list[dict[str, Any]]  # of several runs what is said of each
    scans: dict[str, list[Any]]  # what each mask was made from
    masks: dict[str, MaskFile]  # each mask as it was written; older files have none


class FolderPlaces(TypedDict):
    """Where the files of an evaluation lie, as paths from the folder of its results."""

    predictions: str
    references: str


_MM = frozenset({"hd95_mm", "asd_mm", "assd_mm"})


class StoredScores(BaseModel):
    """One case and class; null: undefined. Distances in mm are absent where the spacing is unknown."""

    model_config = ConfigDict(frozen=True)

    case: str
    name: Annotated[str, Field(alias="class")]
    value: Annotated[int, Field(ge=1, lt=2**31)]
    dice: _Score
    jaccard: _Score
    hd95_voxels: _Distance | None
    asd_voxels: _Distance | None
    assd_voxels: _Distance | None
    hd95_mm: _Distance | None = None
    asd_mm: _Distance | None = None
    assd_mm: _Distance | None = None
    threshold_jaccard: _Score = 0.0  # absent without a threshold
    empty: bool = False  # neither mask shows the class; older files do not say


class StoredEvaluation(BaseModel):
    """summary.json, without the statistics, which follow from the scores."""

    model_config = ConfigDict(frozen=True)

    format: Literal["crossmatch evaluation 1"]  # FORMAT
    predictions: _Name
    references: _Name
    dataset: str | None
    labels: Annotated[dict[str, Annotated[int, Field(ge=1, lt=2**31)]], Field(min_length=1)]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    cases: Annotated[tuple[StoredScores, ...], Field(min_length=1)]
    prediction: Prediction | None
    largest_component: bool = False
    jaccard_threshold: _Score | None = None  # older files have none
    masks_sha256: dict[str, str] = {}  # case -> digest of its mask; older files have none
    references_sha256: dict[str, str] = {}  # the same of its reference; older files have none
    edited: tuple[str, ...] = ()  # cases whose masks are not as predict wrote them; older files do not say
    contents: dict[str, str] = {}  # case -> `content_of` its image, where a dataset tells it; older files have none
    places: FolderPlaces | None = None  # older files, and results of a benchmark, do not say

    @model_validator(mode="after")
    def _every_class_of_every_case_once(self) -> "StoredEvaluation":
        found = [(row.case, row.name, row.value) for row in self.cases]
        cases = dict.fromkeys(row.case for row in self.cases)
        wanted = {(case, name, value) for case in cases for name, value in self.labels.items()}
        if set(found) != wanted or len(found) != len(wanted):
            raise ValueError("cases must have the scores of every label once")
        stated = {(row.case, frozenset(row.model_fields_set & _MM)) for row in self.cases}
        if len(stated) != len(cases) or any(names not in (frozenset(), _MM) for _, names in stated):
            raise ValueError("cases must have all distances in mm, or none")
        return self
