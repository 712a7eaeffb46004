"""Tables of the report: scores over cases, scores of each case, settings."""

import json
import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from crossmatch.reports.curves import COLOURS
from crossmatch.scoring.scores import SHARES, THRESHOLDED, Evaluation, Statistic

NAMES = {
    "dice": "Dice",
    "jaccard": "Jaccard",
    THRESHOLDED: "Threshold Jaccard",
    "hd95": "HD95",
    "asd": "ASD",
    "assd": "ASSD",
}
UNDEFINED = '<span class="undefined" title="one of the two masks is empty">undef.</span>'
PER_CASE = ("dice", "hd95", "assd")


def summary_table(evaluation: Evaluation) -> str:
    """Mean and standard deviation over cases: a row a class and one for the mean over classes, a column a metric."""
    overall = evaluation.statistics()
    titles = "".join(f'<th class="n">{_title(metric)}</th>' for metric in overall)
    rows = [(name, evaluation.statistics(name)) for name in evaluation.labels]
    rows += [("mean", overall)] if len(evaluation.labels) > 1 else []
    body = "".join(
        f'<tr{" class=total" if name == "mean" else ""}><th scope="row">{_swatch(evaluation, name)}{escape(name)}</th>'
        + "".join(f'<td class="n">{_statistic(metric, found[metric])}</td>' for metric in overall)
        + "</tr>"
        for name, found in rows
    )
    return f'<table class="scores"><thead><tr><th>class</th>{titles}</tr></thead><tbody>{body}</tbody></table>'


def case_table(evaluation: Evaluation) -> str:
    """Dice, HD95 and ASSD of each case and class, the best case first."""
    unit = "mm" if all("hd95_mm" in row.scores for row in evaluation.rows) else "voxels"
    metrics = [name if name == "dice" else f"{name}_{unit}" for name in PER_CASE]
    classes = list(evaluation.labels)
    means = {metric: evaluation.case_means(metric) for metric in metrics}
    scores = {(row.case, row.name): row.scores for row in evaluation.rows}
    columns = ["mean", *classes] if len(classes) > 1 else classes
    groups = "".join(f'<th class="group" colspan="{len(columns)}">{_title(metric)}</th>' for metric in metrics)
    heads = "".join(
        f'<th class="n{" first" if place == 0 else ""}">{_swatch(evaluation, name)}{escape(name)}</th>'
        for _ in metrics
        for place, name in enumerate(columns)
    )
    body = []
    for case in sorted(means["dice"], key=lambda name: (-means["dice"][name], name)):
        cells = []
        for metric in metrics:
            for place, name in enumerate(columns):
                value = means[metric][case] if name == "mean" else scores[case, name][metric]
                style = f' style="--share:{value:.3f}"' if (metric, place) == ("dice", 0) else ""
                kind = "n" + (" first" if place == 0 else "") + (" bar" if style else "")
                cells.append(f'<td class="{kind}"{style}>{_value(metric, value)}</td>')
        body.append(f'<tr><th scope="row">{escape(case)}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="scores cases"><thead><tr><th rowspan="2">case</th>{groups}</tr><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
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
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value) or "–"
    return escape(str(value))


def _title(metric: str) -> str:
    if metric in SHARES:
        return f"{NAMES[metric]} <small>%</small>"
    name, _, unit = metric.partition("_")
    return f"{NAMES[name]} <small>{unit}</small>"


def _swatch(evaluation: Evaluation, name: str) -> str:
    """The colour that a class has in curves and pictures."""
    place = list(evaluation.labels).index(name) if name in evaluation.labels else None
    return "" if place is None else f'<i class="swatch k{place % COLOURS}"></i>'


def _value(metric: str, value: float) -> str:
    if math.isnan(value):
        return UNDEFINED
    return f"{100 * value:.1f}" if metric in SHARES else f"{value:.1f}"


def _statistic(metric: str, found: Statistic) -> str:
    mean, scale = _value(metric, found.mean), 100 if metric in SHARES else 1
    spread = "" if math.isnan(found.std) else f" <small>± {found.std * scale:.1f}</small>"
    left_out = f'<small class="undefined">{found.undefined} undef.</small>' if found.undefined else ""
    return f"{mean}{spread}{left_out}"
