"""The content of run.json and of a checkpoint's header, as types. Files in another form are refused."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

Natural = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Quadruple = Annotated[list[Number], Field(min_length=4, max_length=4)]


def _numbered(labels: dict[str, int]) -> dict[str, int]:
    if len(labels) < 2 or sorted(labels.values()) != list(range(len(labels))):
        raise ValueError("labels must be numbered 0, 1, 2, ...")
    return labels


class Seen(TypedDict):
    """What the training scans are like, see `familiar`."""

    spacing_mm: list[list[Number]] | None  # smallest and largest, axis by axis
    grey_values: list[list[Number]]  # five numbers a channel
    size: NotRequired[list[list[int]] | None]  # smallest and largest number of voxels, axis by axis


class DataFacts(TypedDict):
    """The dataset that a run learns from."""

    root: str
    name: str
    fingerprint: str
    learned_from: NotRequired[str]  # digest of what the run learns from and is chosen by: all but the test cases
    affine: NotRequired[Annotated[list[Quadruple], Field(min_length=4, max_length=4)] | None]  # see `Run.frame`
    labels: Annotated[dict[str, int], AfterValidator(_numbered)]
    channels: Annotated[list[str], Field(min_length=1)]
    slice_axis: Annotated[int, Field(ge=0, le=2)]
    labelled: list[str]
    labelled_before: NotRequired[list[str]]  # by runs whose weights it has, or that taught it, see `past`
    contents: NotRequired[dict[str, str]]  # training or validation case -> `content_of` its image
    contents_before: NotRequired[list[str]]  # those of images that `labelled_before` means and `contents` lacks
    unlabelled: Natural
    unlabelled_cases: NotRequired[list[str]]
    validation: list[str]
    seen: NotRequired[Seen]
    ct: NotRequired[list[Quadruple]]  # the window of each channel where data.normalise is "ct"


def ever_labelled(data: DataFacts) -> list[str]:
    """The cases that a run learned from with labels, or whose labels reached it through another run.

    So are cases of other names that have the image of such a case.
    """
    learned = labelled_contents(data)
    alike = [name for name, content in data.get("contents", {}).items() if content in learned]
    return list(dict.fromkeys([*data["labelled"], *data.get("labelled_before", []), *alike]))


def labelled_contents(data: DataFacts) -> set[str]:
    """The images, by their contents, of cases that a run learned from with labels; runs of earlier versions tell none.

    They are known again in any dataset, under any name.
    """
    names, contents = [*data["labelled"], *data.get("labelled_before", [])], data.get("contents", {})
    return {contents[name] for name in names if name in contents} | {*data.get("contents_before", [])}


class Code(TypedDict):
    """The code that ran."""

    crossmatch: str
    commit: str | None
    method_version: NotRequired[Natural]  # see `Method.version`


class DeviceFacts(TypedDict):
    """What a run computes with, see `Machine`."""

    type: str
    name: str
    count: Natural
    precision: Literal["bf16", "float32"]
    flags: list[str]
    threads: NotRequired[Natural]


class Extension(TypedDict):
    """How a finished run went on."""

    before: Natural  # steps it had done
    steps: Natural  # in all
    schedule: str  # in words


class Packed(TypedDict):
    """What a packed model says of its packing, see `pack`."""

    format: Literal["crossmatch model 1"]
    by: str  # version of crossmatch
    checkpoint: Literal["last", "best"]
    steps_left: Natural  # that the run had not done
    calibrations: NotRequired[dict[str, Any]]  # of quality, by the names that `known_cases` looks for


class RunRecord(TypedDict):
    """The content of run.json."""

    recipe: dict[str, Any]
    methods: NotRequired[dict[str, dict[str, Any]]]  # how the recipe sets other methods, see `Recipe.methods`
    data: DataFacts
    code: Code
    versions: dict[str, str]
    device: DeviceFacts
    begun_from: NotRequired[str]  # the folder of the run whose weights it began with
    extended: NotRequired[list[Extension]]
    packed: NotRequired[Packed]


@with_config(ConfigDict(extra="allow"))
class CheckpointFacts(TypedDict):
    """The plain values of a checkpoint."""

    step: Natural
    seconds: Annotated[Number, Field(ge=0)]
    best: NotRequired[Number | None]
    validation: NotRequired[Number | None]
    peak_memory: NotRequired[Natural]
    parameters: NotRequired[Natural]
    method: NotRequired[str]
