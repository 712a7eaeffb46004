"""Runs compared case by case: which cases they share, by how much their Dice differs, and a drawing of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from crossmatch.atomic import read_json
from crossmatch.reports.cases import ranked_choice
from crossmatch.reports.curves import COLOURS
from crossmatch.reports.scans import ORIGIN
from crossmatch.runs.logbook import LoggedLine
from crossmatch.runs.run import Run
from crossmatch.scoring.paired import exact_p
from crossmatch.scoring.scores import Evaluation
from crossmatch.scoring.stored import Prediction

MOST_DRAWN = 40  # cases; of more, those of the largest differences to both sides
OPEN_CASES = 12  # longer tables start folded


@dataclass(frozen=True)
class Compared:
    """One of several runs on a page.

    Attributes:
        name: what tells it from the others: its folder's name, with as much of the path as is needed.
        evaluation, masks: of its predictions, where it has one; their folder.
        references: that masks were scored against, where they can be found.
    """

    name: str
    run: Run
    lines: list[LoggedLine]
    evaluation: Evaluation | None
    masks: Path | None
    references: Path | None = None

    def digests(self) -> dict[str, list[str]]:
        """Case -> SHA-256 of the files that its mask was made from, where they are recorded."""
        if self.masks is None or not (self.masks / ORIGIN).is_file():
            return {}
        scans = read_json(self.masks / ORIGIN, Prediction, "predict again into another folder").get("scans", {})
        found = {
            case: [each.get("sha256") for each in files if isinstance(each, dict)] for case, files in scans.items()
        }
        return {case: [str(each) for each in digests] for case, digests in found.items() if digests and all(digests)}


def shared_cases(runs: Sequence[Compared]) -> tuple[list[str], list[str]]:
    """The cases that all evaluated runs were tested on, and those of one name that were made from different scans."""
    tested = [set(run.evaluation.case_means()) for run in runs if run.evaluation is not None]
    names = set.intersection(*tested) if tested else set()
    digests = [run.digests() for run in runs if run.evaluation is not None]
    other = [case for case in names if len({tuple(found[case]) for found in digests if case in found}) > 1]
    return sorted(names - set(other)), sorted(other)


def other_references(runs: Sequence[Compared], cases: Sequence[str]) -> list[str]:
    """The cases that runs were scored on against different references, as far as the evaluations say against which."""
    digests = [run.evaluation.references_sha256 for run in runs if run.evaluation is not None]
    return [case for case in cases if len({found[case] for found in digests if case in found}) > 1]


def differences(runs: Sequence[Compared], cases: Sequence[str]) -> dict[str, dict[str, float]]:
    """Run -> case -> its Dice minus that of the first evaluated run, for all other evaluated runs."""
    first, *others = (run for run in runs if run.evaluation is not None)
    assert first.evaluation is not None
    before = first.evaluation.case_means()
    found = {}
    for run in others:
        assert run.evaluation is not None
        means = run.evaluation.case_means()
        found[run.name] = {case: means[case] - before[case] for case in cases}
    return found


def chosen_pairs(found: Mapping[str, Mapping[str, float]], cases: Sequence[str]) -> dict[str, str]:
    """Case -> why it is shown: largest gain, median and largest loss against the first run, mean over the others."""
    gains = {case: float(np.mean([each[case] for each in found.values()])) for case in cases}
    ranked = sorted(gains, key=lambda case: (-gains[case], case))
    if not ranked:
        return {}
    end = "largest loss" if gains[ranked[-1]] < 0 else "smallest gain"
    start = "largest gain" if gains[ranked[0]] >= 0 else "smallest loss"
    return ranked_choice(ranked, (start, "median difference", end))


def differences_table(found: Mapping[str, Mapping[str, float]], first: str) -> str:
    """For each run: mean difference to the first one, spread, on how many cases it is better and worse, p."""
    rows = []
    for name, values in found.items():
        numbers = np.round(100 * np.array(list(values.values())), 10)
        better, worse = int((numbers > 0).sum()), int((numbers < 0).sum())
        spread = f" <small>± {numbers.std(ddof=1):.1f}</small>" if len(numbers) > 1 else ""
        p = f"{exact_p(numbers[numbers != 0]):.2g}" if len(numbers) > 1 else "–"
        cells = (
            f"{signed(numbers.mean())}{spread}",
            f"{signed(numbers.min())} … {signed(numbers.max())}",
            f"{better}",
            f"{worse}",
            p,
        )
        numbers_of = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(name)} − {escape(first)}</th>{numbers_of}</tr>')
    heads = "".join(
        f'<th class="n">{head}</th>' for head in ("mean <small>points</small>", "range", "better on", "worse on", "p")
    )
    body = "".join(rows)
    return f'<table class="scores"><thead><tr><th>difference</th>{heads}</tr></thead><tbody>{body}</tbody></table>'


def signed(value: float) -> str:
    """A number with its sign, a minus and no hyphen."""
    return f"{value:+.1f}".replace("-", "−")


def pairs_drawing(runs: Sequence[Compared], cases: Sequence[str]) -> str:
    """A line for each case with a dot for each run, from the largest gain of the last run to its largest loss."""
    scored = [(place, run, run.evaluation.case_means()) for place, run in enumerate(runs) if run.evaluation is not None]
    gain = {case: scored[-1][2][case] - scored[0][2][case] for case in cases}
    ranked = sorted(cases, key=lambda case: (-gain[case], case))
    half = MOST_DRAWN // 2
    drawn = ranked if len(ranked) <= MOST_DRAWN else [*ranked[:half], *ranked[-half:]]
    low = min(int(10 * means[case]) for _, _, means in scored for case in drawn) / 10
    low = min(low, 0.9)
    rows = []
    for case in drawn:
        places = [(100 * (means[case] - low) / (1 - low), means[case], run.name, place) for place, run, means in scored]
        left, right = min(places)[0], max(places)[0]
        dots = "".join(
            f'<i class="dot k{place % COLOURS}" style="left:{at:.2f}%" title="{escape(name)}: {100 * value:.1f} %"></i>'
            for at, value, name, place in places
        )
        line = f'<i class="between" style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
        rows.append(
            f'<span class="case-name">{escape(case)}</span><span class="track">{line}{dots}</span>'
            f'<span class="n">{signed(100 * gain[case])}</span>'
        )
    legend = "".join(
        f'<span class="key k{place % COLOURS}"><i class="round"></i>{escape(run.name)}</span>'
        for place, run, _ in scored
    )
    ends = f"<small>{100 * low:.0f} %</small><small>Dice 100 %</small>"
    axis = f'<span></span><span class="axis-ends">{ends}</span><small>difference</small>'
    left_out = f'<p class="aside">The {MOST_DRAWN} of {len(ranked)} cases with the largest differences.</p>'
    return (
        f'<div class="legend">{legend}</div><div class="pairs">{axis}{"".join(rows)}</div>'
        f"{left_out if len(drawn) < len(ranked) else ''}"
    )


def pairs_table(runs: Sequence[Compared], cases: Sequence[str]) -> str:
    """Dice of every run on every shared case, in percent, folded where it is long."""
    scored = [(run.name, run.evaluation.case_means()) for run in runs if run.evaluation is not None]
    heads = "".join(f'<th class="n">{escape(name)}</th>' for name, _ in scored)
    body = "".join(
        f'<tr><th scope="row">{escape(case)}</th>'
        + "".join(f'<td class="n">{100 * means[case]:.1f}</td>' for _, means in scored)
        + "</tr>"
        for case in cases
    )
    table = f'<table class="scores"><thead><tr><th>case</th>{heads}</tr></thead><tbody>{body}</tbody></table>'
    folded = "" if len(cases) > OPEN_CASES else " open"
    return f'<details{folded}><summary>Dice of each case, %</summary><div class="scroll">{table}</div></details>'
