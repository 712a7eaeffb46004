"""The lines of a benchmark's table in numbers: each row with its test against the best one and its published result."""

from collections.abc import Sequence
from dataclasses import dataclass

from crossmatch.benchmark.published import NOTHING, Reports, published
from crossmatch.benchmark.results import Row
from crossmatch.benchmark.significance import Comparison, compare

MCNET_BEFORE = 2  # decoders of MC-Net; published.toml has MC-Net+, with 3


@dataclass(frozen=True)
class Line:
    """A row of the table, its comparison with the best row and what was published of its method."""

    row: Row
    comparison: Comparison
    published: Reports


def lines(rows: Sequence[Row]) -> list[Line]:
    """The rows, each with its test against the best one and its published result."""
    return [Line(row, comparison, _published(row)) for row, comparison in zip(rows, compare(rows), strict=True)]


def _published(row: Row) -> Reports:
    if row.method == "mcnet" and row.results[0].method_settings.get("decoders") == MCNET_BEFORE:
        return NOTHING
    return published(row.dataset, row.labelled, row.method)


def sources(table: Sequence[Line]) -> list[str]:
    """Where the published results of these lines come from: the first is [1] in the table."""
    return list(dict.fromkeys(report.source for line in table for report in line.published if report is not None))
