"""What a reader must know to read the table of a benchmark: a sentence each, below the table and in every file."""

from collections import Counter
from collections.abc import Sequence

from crossmatch.benchmark.tables import Line

CHECKPOINTS = {"last": "the last one of the run", "best": "the best one by the validation cases"}
SOME = 0.05  # the customary level; said only where so few patients can never reach it


def notes(table: Sequence[Line], missing: Sequence[str]) -> list[str]:
    """The sentences, those about this table's own case included.

    Args:
        table: its lines.
        missing: a text for each cell that failed or has not been run.
    """
    found = [_checkpoint(table), _scores(table), _seeds(table), _distances(table), *_test(table), _costs(table)]
    cited = [line for line in table if line.published is not None]
    if cited:
        found.append(
            "Published Dice: full-scale results as their sources report them (sources in results.json), mostly of "
            "single runs, some with a checkpoint chosen on test cases; not tested against ours, and no equal "
            "comparison where the recipe is smaller."
        )
    if missing:
        found.append(f"Failed or missing ({len(missing)}), not in the table: {'; '.join(missing)}.")
    return found


def _checkpoint(table: Sequence[Line]) -> str:
    counts = Counter(result.checkpoint for line in table for result in line.row.results)
    said = {name: CHECKPOINTS.get(name, name) for name in sorted(counts, reverse=True)}
    if len(said) == 1:
        return f"Checkpoint of every run: {next(iter(said.values()))}."
    return f"Checkpoints differ: {', '.join(f'{what} ({counts[name]} runs)' for name, what in said.items())}."


def _scores(table: Sequence[Line]) -> str:
    cases = sorted({len(result.evaluation.case_means()) for line in table for result in line.row.results})
    return (
        f"Dice and Jaccard: mean over the {_range(cases)} test cases of each case's mean over its classes, then over "
        "seeds."
    )


def _seeds(table: Sequence[Line]) -> str:
    single = [line.row for line in table if len(line.row.results) == 1]
    if len(single) == len(table):
        return "Every row is a single run (one seed): nothing here says how much another run would differ."
    text = "±: standard deviation over seeds (ddof 1), of whole runs, not of cases."
    if single:
        names = ", ".join(f"{row.name} with {row.labelled} labelled" for row in single)
        text += f" A single run (one seed), so without ±: {names}."
    return text


def _distances(table: Sequence[Line]) -> str:
    row = table[0].row
    text = f"HD95, ASD (directed, prediction to reference): in {'mm' if row.unit == 'mm' else 'voxels'}."
    if any(line.row.undefined for line in table):
        text += (
            " NaN: undefined, as one of the two masks is empty; left out of the mean distance, and counted (cases with "
            "such a class, over all seeds). A mean beside many of them flatters."
        )
    return text


def _test(table: Sequence[Line]) -> list[str]:
    tested = [line for line in table if line.comparison.p is not None]
    if not tested:
        return []
    fewest, most = (limit(line.comparison.patients for line in tested) for limit in (min, max))
    text = (
        "p: paired two-sided Wilcoxon signed-rank test of the patients' Dice (mean of a patient's cases and of the "
        f"seeds on the same data set) against the best row of the same number of labels, {_range([fewest, most])} "
        "patients in common; Holm's correction over the other rows. It is about patients, not about seeds."
    )
    if 2.0 ** (1 - fewest) >= SOME:
        text += f" With {fewest} patients no p can be below {2.0 ** (1 - fewest):.2g}, before correction."
    datasets = {result.fingerprint for line in table for result in line.row.results}
    if len(datasets) > 1:
        text += f" A patient of each of {len(datasets)} data sets counts by itself."
    return [text]


def _costs(table: Sequence[Line]) -> str:
    devices = {result.training.get("device", {}).get("name", "?") for line in table for result in line.row.results}
    text = f"Training time: mean over seeds, on {'; '.join(sorted(devices))}"
    text += ", not comparable between them." if len(devices) > 1 else "."
    if any(line.row.method == "distillation" for line in table):
        text += " Distillation: without the training of its teacher."
    if any(line.row.peak_memory_bytes is not None for line in table):
        text += " Memory: the device's peak in training, the largest of the seeds."
    return text


def _range(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if numbers[0] == numbers[-1] else f"{numbers[0]} to {numbers[-1]}"
