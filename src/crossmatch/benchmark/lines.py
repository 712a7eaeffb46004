"""The lines of a benchmark's table in numbers: each row with its test against the best one and its published result."""

from collections.abc import Sequence
from dataclasses import dataclass

from crossmatch.benchmark.published import Published, published
from crossmatch.benchmark.results import Row
from crossmatch.benchmark.significance import Comparison, compare


@dataclass(frozen=True)
class Line:
    """A row of the table, its comparison with the best row and what was published of its method."""

    row: Row
    comparison: Comparison
    published: Published | None


def lines(rows: Sequence[Row]) -> list[Line]:
    """The rows, each with its test against the best one and its published result."""
    return [
        Line(row, comparison, published(row.dataset, row.labelled, row.method))
        for row, comparison in zip(rows, compare(rows), strict=True)
    ]


def sources(table: Sequence[Line]) -> list[str]:
    """Where the published results of these lines come from: the first is [1] in the table."""
    return list(dict.fromkeys(line.published.source for line in table if line.published is not None))
