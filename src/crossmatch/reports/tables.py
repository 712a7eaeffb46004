"""Tables of the report: scores over cases, scores of each case, settings."""

import json
import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from crossmatch.inference.estimates import CaseQuality
from crossmatch.reports.curves import COLOURS
from crossmatch.scoring.scores import SHARES, THRESHOLDED, Evaluation
from crossmatch.scoring.statistic import Statistic

NAMES = {
    "dice": "Dice",
    "jaccard": "Jaccard",
    THRESHOLDED: "Threshold Jaccard",
    "hd95": "HD95",
    "asd": "ASD",
    "assd": "ASSD",
}
UNDEFINED = '<span class="undefined" title="one of the two masks is empty or has no surface">undef.</span>'
PER_CASE = ("dice", "hd95", "assd")
ALL = "all classes"  # the mean over them


def summary_table(evaluation: Evaluation) -> str:
    """Mean and standard deviation over cases: a row a class and one for the mean over classes, a column a metric."""
    overall = evaluation.statistics()
    titles = "".join(f'<th class="n">{_title(metric)}</th>' for metric in overall)
    rows = [(name, evaluation.statistics(name)) for name in evaluation.labels]
    rows += [(ALL, overall)] if len(evaluation.labels) > 1 else []
    body = "".join(
        f'<tr{" class=total" if found is overall else ""}><th scope="row">'
        f"{_swatch(evaluation.labels, name)}{escape(name)}</th>"
        + "".join(f'<td class="n">{_statistic(metric, found[metric])}</td>' for metric in overall)
        + "</tr>"
        for name, found in rows
    )
    return f'<table class="scores"><thead><tr><th>class</th>{titles}</tr></thead><tbody>{body}</tbody></table>'


def case_table(evaluation: Evaluation, known: Mapping[str, str]) -> str:
    """Dice, HD95 and ASSD of each case and class, the best case first.

    Args:
        known: case -> a word for what the run knew of it: training, validation.
    """
    unit = "mm" if all("hd95_mm" in row.scores for row in evaluation.rows) else "voxels"
    metrics = [name if name == "dice" else f"{name}_{unit}" for name in PER_CASE]
    means = {metric: evaluation.case_means(metric) for metric in metrics}
    scores = {(row.case, row.name): row.scores for row in evaluation.rows}
    columns = [None, *evaluation.labels] if len(evaluation.labels) > 1 else list(evaluation.labels)
    groups = "".join(f'<th class="group" colspan="{len(columns)}">{_title(metric)}</th>' for metric in metrics)
    heads = "".join(
        f'<th class="n{" first" if place == 0 else ""}">'
        + (ALL if name is None else f"{_swatch(evaluation.labels, name)}{escape(name)}")
        + "</th>"
        for _ in metrics
        for place, name in enumerate(columns)
    )
    body = []
    for case in sorted(means["dice"], key=lambda name: (-means["dice"][name], name)):
        cells = []
        for metric in metrics:
            for place, name in enumerate(columns):
                value = means[metric][case] if name is None else scores[case, name][metric]
                style = f' style="--share:{value:.3f}"' if (metric, place) == ("dice", 0) else ""
                kind = "n" + (" first" if place == 0 else "") + (" bar" if style else "")
                cells.append(f'<td class="{kind}"{style}>{_value(metric, value)}</td>')
        body.append(f'<tr><th scope="row">{_tagged(case, known)}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="scores cases"><thead><tr><th rowspan="2">case</th>{groups}</tr><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def estimates_table(cases: Mapping[str, CaseQuality], labels: Mapping[str, int], known: Mapping[str, str]) -> str:
    """Estimated Dice of each case with its interval and of each class, parts of the masks, and what is unusual.

    Args:
        cases: the estimates, in the order of the table; labels: class -> value.
        known: case -> a word for what the run knew of it: training, validation.
    """
    several = len(labels) > 1
    classes = "".join(f'<th class="n">{_swatch(labels, name)}{escape(name)}</th>' for name in labels if several)
    body = []
    for case, found in cases.items():
        share = found["agreement"] if found["dice"] is None else found["dice"]
        cells = [
            f'<td class="n bar" style="--share:{share or 0:.3f}">{_share(share)}</td>',
            f'<td class="n">{_share(found["low"])} – {_share(found["high"])}</td>',
            *(f'<td class="n">{_share(found["classes"][name]["dice"])}</td>' for name in labels if several),
            f'<td class="n">{sum(one["components"] for one in found["classes"].values())}</td>',
            f"<td>{escape(' '.join(found['flags'])) or '–'}</td>",
        ]
        kind = ' class="outside"' if found["out_of_distribution"] else ""
        body.append(f'<tr{kind}><th scope="row">{_tagged(case, known)}</th>{"".join(cells)}</tr>')
    fitted = all(found["dice"] is not None for found in cases.values())
    heads = (
        f'<th>case</th><th class="n">{"estimated Dice" if fitted else "agreement"} <small>%</small></th>'
        f'<th class="n">interval</th>{classes}<th class="n">parts</th><th>to look at</th>'
    )
    return f'<table class="scores"><thead><tr>{heads}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def volumes_table(
    volumes: Mapping[str, Mapping[str, float]], labels: Mapping[str, int], unit: str, known: Mapping[str, str]
) -> str:
    """The predicted volume of each class of each case, in `unit`, in the given order; `known` as above."""
    heads = "".join(
        f'<th class="n">{_swatch(labels, name)}{escape(name)} <small>{unit}</small></th>' for name in labels
    )
    body = "".join(
        f'<tr><th scope="row">{_tagged(case, known)}</th>'
        + "".join(
            f'<td class="n">{found[name]:,.1f}</td>' if unit == "ml" else f'<td class="n">{found[name]:,.0f}</td>'
            for name in labels
        )
        + "</tr>"
        for case, found in volumes.items()
    )
    return f'<table class="scores"><thead><tr><th>case</th>{heads}</tr></thead><tbody>{body}</tbody></table>'


def scores_of_runs(evaluations: Mapping[str, Evaluation]) -> str:
    """Dice of each class and of all, then distances, mean and standard deviation over cases: a row a run."""
    first = next(iter(evaluations.values()))
    several = len(first.labels) > 1
    classes = "".join(
        f'<th class="n">{_swatch(first.labels, name)}{escape(name)} <small>%</small></th>' for name in first.labels
    )
    metrics = [metric for metric in first.statistics() if metric.endswith("_mm")] or ["hd95_voxels", "assd_voxels"]
    shown = [metric for metric in metrics if not metric.startswith("asd")]
    heads = (f'<th class="n">Dice, {ALL} <small>%</small></th>' if several else "") + classes
    heads += "".join(f'<th class="n">{_title(metric)}</th>' for metric in shown)
    best = max(evaluations, key=lambda name: evaluations[name].statistics()["dice"].mean)
    rows = []
    for name, evaluation in evaluations.items():
        overall = evaluation.statistics()
        dice = [_statistic("dice", overall["dice"])] if several else []
        for label, value in first.labels.items():
            known = evaluation.labels.get(label) == value  # else nothing was scored under this name
            dice.append(_statistic("dice", evaluation.statistics(label)["dice"]) if known else "–")
        cells = "".join(f'<td class="n">{each}</td>' for each in dice)
        cells += "".join(
            f'<td class="n">{_statistic(metric, overall[metric]) if metric in overall else "–"}</td>'
            for metric in shown
        )
        kind = ' class="total"' if name == best and len(evaluations) > 1 else ""
        rows.append(f'<tr{kind}><th scope="row">{escape(name)}</th>{cells}</tr>')
    return f'<table class="scores"><thead><tr><th>run</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def runs_table(names: Iterable[str], values: Mapping[str, Iterable[Any]]) -> str:
    """Settings by row, runs by column."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><th scope=row>{escape(key)}</th>{''.join(f'<td>{_plain(value)}</td>' for value in row)}</tr>"
        for key, row in values.items()
    )
    return (
        f'<table class="scores differing"><thead><tr><th>setting</th>{heads}</tr></thead><tbody>{body}</tbody></table>'
    )


def settings_table(title: str, values: Mapping[str, Any]) -> str:
    """A titled table of names and values; groups within become dotted names, as --set takes them."""
    rows = "".join(f"<tr><th scope=row>{escape(key)}</th><td>{_plain(value)}</td></tr>" for key, value in _flat(values))
    return f'<table class="settings"><caption>{escape(title)}</caption><tbody>{rows}</tbody></table>'


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _plain(value: Any) -> str:
    """As in a recipe: strings bare, numbers to 6 digits, a list with commas."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value) or "–"
    return escape(str(value))


def _tagged(case: str, known: Mapping[str, str]) -> str:
    """A case's name, with the word for what the run knew of it."""
    return escape(case) + (f' <span class="tag">{escape(known[case])}</span>' if case in known else "")


def _title(metric: str) -> str:
    if metric in SHARES:
        return f"{NAMES[metric]} <small>%</small>"
    name, _, unit = metric.partition("_")
    return f"{NAMES[name]} <small>{unit}</small>"


def _swatch(labels: Iterable[str], name: str) -> str:
    """The colour that a class has in curves and pictures."""
    names = list(labels)
    place = names.index(name) if name in names else None
    return "" if place is None else f'<i class="swatch k{place % COLOURS}"></i>'


def _value(metric: str, value: float) -> str:
    if math.isnan(value):
        return UNDEFINED
    return f"{100 * value:.1f}" if metric in SHARES else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}"


def _statistic(metric: str, found: Statistic) -> str:
    mean, scale = _value(metric, found.mean), 100 if metric in SHARES else 1
    spread = "" if math.isnan(found.std) else f" <small>± {found.std * scale:.1f}</small>"
    left_out = f'<small class="undefined">{found.undefined} undef.</small>' if found.undefined else ""
    return f"{mean}{spread}{left_out}"
