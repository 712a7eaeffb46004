"""The model card: README.md with a YAML head, filled from the run. Counts of the data only, no names and no paths.

The head is what huggingface.co reads (docs: model cards): licence, library, task, tags, metrics.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossmatch.export.scored import Scored, interval
from crossmatch.runs.checkpoint import Checkpoint
from crossmatch.runs.run import Run

NOT_STATED = "not stated"
LOW_DICE = 0.7  # classes below are named under where not to use it
_SHOWN = ("data", "views", "network", "method", "dice", "train", "predict", "seed")
_KEPT_BACK = ("dataset", "labelled", "memory_gb")  # of data: a name, and where voxels lay


def model_card(
    run: Run, about: Mapping[str, Any], checkpoint: Checkpoint, scored: Sequence[Scored], licence: str, use: str
) -> str:
    """The whole page.

    Args:
        run: of the network.
        about: the content of model.json.
        checkpoint: the one that is exported.
        scored: see `evaluations_of`.
        licence: of the weights, such as cc-by-4.0.
        use: how the exported files are used, Markdown.
    """
    parts = [
        _head(about, scored, licence),
        f"# {title(about)}\n\n{summary(about)}\n\nResearch software, not a medical device.",
        f"## Use\n\n{use}",
        "## Data\n\n" + "\n".join(_data(run, about)),
        "## Settings\n\n" + "\n".join(_settings(run)),
        "## Scores\n\n" + "\n".join(_scores(run, checkpoint, scored)),
        "## Where not to use it\n\n" + "\n".join(f"- {line}" for line in _limits(run, about, scored)),
    ]
    return "\n\n".join(parts) + "\n"


def title(about: Mapping[str, Any]) -> str:
    """A few words for what the model is."""
    return f"{', '.join(_classes(about))}: {len(about['size'])}D {about['network']}, {about['method']}"


def summary(about: Mapping[str, Any]) -> str:
    """What the model does, in one sentence."""
    what = "slices" if len(about["size"]) == 2 else "volumes"
    return (
        f"Segments {', '.join(_classes(about))} in {what} of the channels {', '.join(about['channels'])}, trained by "
        f"{about['method']} in {about['step']} steps."
    )


def _classes(about: Mapping[str, Any]) -> list[str]:
    return [each["name"] for each in about["classes"] if each["value"] > 0]


def _head(about: Mapping[str, Any], scored: Sequence[Scored], licence: str) -> str:
    lines = ["---"]
    if licence == NOT_STATED:
        lines += ["license: other", "license_name: not-stated", "license_link: LICENSE"]
    else:
        lines += [f"license: {licence.lower()}"]
    tags = ["medical", "segmentation", "semi-supervised", f"{len(about['size'])}d", about["network"], about["method"]]
    lines += ["library_name: crossmatch", "pipeline_tag: image-segmentation", "tags:"]
    lines += [f"  - {json.dumps(tag)}" for tag in tags]
    lines += ["metrics:", "  - dice", "  - hd95"]
    if scored:
        name = json.dumps(title(about))
        lines += ["model-index:", f"  - name: {name}", "    results:"]
        for each in scored:
            lines += [
                "      - task:",
                "          type: image-segmentation",
                "        dataset:",
                f"          name: {each.cases} {each.what} cases{each.otherwise}",
                "          type: private",
                "        metrics:",
                "          - type: dice",
                f"            value: {each.evaluation.statistics()['dice'].mean:.4f}",
            ]
    return "\n".join([*lines, "---"])


def _data(run: Run, about: Mapping[str, Any]) -> Iterator[str]:
    data, used = run.data, run.recipe.method_class.needs_unlabelled
    rows = [
        ("labelled training cases", len(data["labelled"])),
        (f"unlabelled training cases{'' if used else ', which this method does not use'}", data["unlabelled"]),
        ("validation cases", len(data["validation"])),
        ("channels", ", ".join(data["channels"])),
        ("classes", ", ".join(f"{value} {name}" for name, value in data["labels"].items())),
    ]
    if (seen := about["seen"]) is not None and seen["spacing_mm"]:
        low, high = (" x ".join(f"{mm:.3g}" for mm in end) for end in seen["spacing_mm"])
        rows.append(("voxel size, mm", low if low == high else f"{low} to {high}"))
    yield from _table(("", ""), rows)


def _settings(run: Run) -> Iterator[str]:
    whole = run.recipe.model_dump(mode="json")
    whole["data"] = {key: value for key, value in whole["data"].items() if key not in _KEPT_BACK}
    rows = [(f"`{key}`", shown) for group in _SHOWN for key, shown in _flat(whole[group], group)]
    yield from _table(("setting", "value"), rows)


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Settings by dotted names; of a path, which lies on the trainer's machine, the last part."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}")
    elif isinstance(value, str):
        yield name, Path(value.replace("\\", "/")).name
    else:
        yield name, json.dumps(value)


def _scores(run: Run, checkpoint: Checkpoint, scored: Sequence[Scored]) -> Iterator[str]:
    rows = []
    for each in scored:
        names = list(each.evaluation.labels)
        for name in (*names, None) if len(names) > 1 else names:
            found = each.evaluation.statistics(name)
            distance = next((key for key in ("hd95_mm", "hd95_voxels") if key in found and found[key].cases), None)
            rows.append(
                (
                    each.of_what,
                    name or "mean",
                    _with_interval(found["dice"], 100, 1),
                    "" if distance is None else _with_interval(found[distance], 1) + f" {distance.split('_')[1]}",
                )
            )
    if rows:
        yield from _table(("cases", "class", "Dice, %", "HD95"), rows)
        yield ""
        yield "In brackets: 95 % intervals of the mean over cases (Student), as if cases were independent."
        yield ""
    kinds = {each.what for each in scored}
    best = checkpoint.facts.get("validation")
    if "validation" not in kinds and best is not None:
        count = len(run.data["validation"])
        yield (
            f"Validation while training: mean Dice {100 * best:.1f} % over {count} cases. Of these cases only the mean "
            "was kept, so there is no interval; checkpoints may have been chosen by it."
        )
    if "test" not in kinds:
        yield "There are no test scores of these weights: how well they work on other cases was not measured."


def _with_interval(found: Any, scale: float, highest: float = math.inf) -> str:
    if math.isnan(found.mean):
        return "undefined"
    ends = interval(found, highest)
    return f"{scale * found.mean:.1f}" + ("" if ends is None else f" ({scale * ends[0]:.1f} to {scale * ends[1]:.1f})")


def _limits(run: Run, about: Mapping[str, Any], scored: Sequence[Scored]) -> Iterator[str]:
    yield "For diagnosis or treatment: it is no medical device, and nobody has approved it."
    yield f"On anything but {', '.join(about['channels'])} of the body part and kind of patient it was trained on."
    if (seen := about["seen"]) is not None and seen["spacing_mm"]:
        yield "On scans whose voxel size is more than twice, or less than half, that of the table above."
    if seen is not None:
        ends = [
            f"{name} {numbers[0]:.4g} to {numbers[3]:.4g}"
            for name, numbers in zip(about["channels"], seen["grey_values"], strict=False)
        ]
        yield f"On scans with grey values far outside those of the training ({'; '.join(ends)})."
    if about["frame"] is None and len(about["size"]) == 3:
        yield "On scans with another order or direction of axes than the training scans, which did not state theirs."
    if run.recipe.views.weak.turn_probability > 0:
        yield "To tell left from right: it was trained on turned and mirrored images, in which they look alike."
    if len(run.data["labelled"]) < 10:
        count = len(run.data["labelled"])
        yield f"Without a look at each mask: only {count} labelled case{'s' * (count != 1)} taught it what to segment."
    for each in scored:
        for name in each.evaluation.labels:
            dice = each.evaluation.statistics(name)["dice"].mean
            if dice < LOW_DICE:
                found = f"{100 * dice:.1f} %{each.otherwise}"
                yield f"Where {name} matters: its mean Dice on {each.what} cases is {found}."
    if not any(each.what == "test" for each in scored):
        yield "Where its quality must be known: it was not evaluated on test cases."


def _table(head: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |"
