"""The notes below the table of a benchmark: sentences that a reader needs to understand the numbers."""

from collections import Counter
from collections.abc import Iterator, Sequence

from crossmatch.benchmark.bootstrap import SAMPLES
from crossmatch.benchmark.columns import VALIDATION_LIST
from crossmatch.benchmark.folds import fold_notes
from crossmatch.benchmark.lines import Line, sources
from crossmatch.benchmark.significance import least_p
from crossmatch.errors import listed
from crossmatch.methods import METHODS

CHECKPOINTS = {"last": "the last one of the run", "best": "the best one by the validation cases"}
FEW_RUNS = 5
LEVEL = 0.05  # the customary level of significance; a note says where corrected p cannot fall below it


def notes(table: Sequence[Line]) -> list[str]:
    """The sentences that apply to this table."""
    return [
        _checkpoint(table),
        *_validation(table),
        _scores(table),
        _seeds(table),
        *_unequal(table),
        _distances(table),
        *_test(table),
        *_first(table),
        *_costs(table),
        *_origins(table),
        *_methods(table),
        *fold_notes([result for line in table for result in line.row.results]),
        *_published(table),
    ]


def _checkpoint(table: Sequence[Line]) -> str:
    counts = Counter(result.checkpoint for line in table for result in line.row.results)
    said = {name: CHECKPOINTS.get(name, name) for name in sorted(counts, reverse=True)}
    if len(said) == 1:
        return f"Checkpoint of every run: {next(iter(said.values()))}."
    return f"Checkpoints differ: {', '.join(f'{what} ({counts[name]} runs)' for name, what in said.items())}."


def _validation(table: Sequence[Line]) -> Iterator[str]:
    known = any(result.validation_dice is not None for line in table for result in line.row.results)
    if known:
        yield "Val: Dice of the validation cases by the same checkpoint. All other scores are of test cases."
    if any(line.row.grid for line in table):
        yield (
            "Rows of a grid are test scores: whoever chooses one by them chooses on test cases. Choose by "
            + ("Val." if known else "validation cases: these runs have no validation.")
        )


def _scores(table: Sequence[Line]) -> str:
    cases = sorted({len(result.evaluation.case_means()) for line in table for result in line.row.results})
    text = (
        f"Dice and Jaccard: mean over the {_range(cases)} test cases of each case's mean over its classes, then over "
        "seeds."
    )
    absent: dict[str, int] = {}
    for line in table:
        for result in line.row.results:
            for name, count in result.evaluation.absent().items():
                absent[name] = max(count, absent.get(name, 0))
    if absent:
        text += (
            " A class that neither mask nor reference shows counts as 1: "
            f"{listed(f'{name} in up to {count} cases' for name, count in absent.items())}."
        )
    return text


def _seeds(table: Sequence[Line]) -> str:
    single = [line.row for line in table if len(line.row.results) == 1]
    if len(single) == len(table):
        return "Every row is a single run (one seed): nothing here says how much another run would differ."
    text = "±: standard deviation over seeds (ddof 1), of whole runs, not of cases."
    if _datasets(table) > 1:
        text += " Each seed has its own data set, so ± includes the difference between data sets."
    if single:
        names = ", ".join(f"{row.name} with {row.labelled} labelled" for row in single)
        text += f" A single run (one seed), so without ±: {names}."
    return text


def _unequal(table: Sequence[Line]) -> Iterator[str]:
    """A sentence for each number of labels whose rows do not all have the same seeds on the same data."""
    for labelled, group in _by_labels(table).items():
        every = {result.conditions for line in group for result in line.row.results}
        lacking: dict[str, list[str]] = {}
        for line in group:
            own = {result.conditions for result in line.row.results}
            if absent := sorted({seed for seed, _ in every - own}):
                lacking.setdefault(_these(absent), []).append(line.row.name)
        if lacking:
            rows = "; ".join(f"{', '.join(names)} (without {seeds})" for seeds, names in lacking.items())
            shared = group[0].comparison.seeds
            text = f"Unequal runs with {labelled} labelled: {rows}. Their means are over other runs or patients"
            if shared:
                yield f"{text}; best and p are of {_these(shared)}, which all rows have on the same data."
            else:
                yield f"{text}; no best and no p, as no seed with its data is common to all rows."


def _distances(table: Sequence[Line]) -> str:
    row = table[0].row
    text = f"HD95, ASD (directed, prediction to reference): in {'mm' if row.unit == 'mm' else 'voxels'}."
    if any(line.row.undefined for line in table):
        text += (
            " NaN: undefined, because one of the two masks is empty or has no surface; left out of the mean distance, "
            "and counted (cases with such a class, over all seeds). With many of them the mean distance looks too good."
        )
    return text


def _test(table: Sequence[Line]) -> Iterator[str]:
    tested = [line for line in table if line.comparison.p is not None]
    if not tested:
        return
    patients = sorted({line.comparison.patients for line in tested})
    text = (
        "p: paired two-sided Wilcoxon signed-rank test of the patients' Dice (mean of a patient's cases and of the "
        "seeds on the same data set) against the row of the same number of labels with the best mean over patients, "
        f"{_range(patients)} patients in common; Holm's correction over the other rows. It is about patients, not "
        "about seeds."
    )
    for labelled, group in _by_labels(tested).items():
        fewest = max(line.comparison.patients for line in group)
        if (least := least_p(fewest, len(group))) >= LEVEL:
            text += (
                f" With {labelled} labelled, {fewest} patients, tested rows: {len(group)}; no p can be below "
                f"{least:.2g}."
            )
    if _datasets(table) > 1:
        text += " Patients of different data sets count apart."
    yield text


def _first(table: Sequence[Line]) -> Iterator[str]:
    known = [line.comparison for line in table if line.comparison.first is not None]
    if known:
        text = (
            "First: probability that the row's mean Dice is the highest of its number of labels, by a bootstrap over "
            f"runs and patients ({SAMPLES} samples)."
        )
        if min(len(each.seeds) for each in known) < FEW_RUNS:
            text += " With so few runs it looks surer than it is, and with one seed it is about patients alone."
        yield text


def _costs(table: Sequence[Line]) -> Iterator[str]:
    devices = [result.training.get("device", {}) for line in table for result in line.row.results]
    names = sorted({device.get("name", "?") for device in devices})
    text = f"Training: time of a run with its validations and checkpoints, mean over seeds, on {'; '.join(names)}"
    text += ", not comparable between them." if len(names) > 1 else "."
    yield f"{text} Runs beside each other share the machine and take longer."
    if any(line.row.parameters is not None for line in table):
        yield "Parameters: all that are trained."
    held = {
        "cuda": "on CUDA of PyTorch's tensors",
        "cpu": "on a CPU of the whole process",
    }
    if any(line.row.peak_memory_bytes is not None for line in table):
        kinds = {device.get("type") for device in devices}
        what = "; ".join(text for kind, text in held.items() if kind in kinds)
        yield f"Memory: peak in training, {what}; the largest of the seeds."


def _origins(table: Sequence[Line]) -> Iterator[str]:
    """Which cells were made by which code and where, if not all by one and in one place."""
    made: dict[str, dict[str, list[int]]] = {}
    for line in table:
        for result in line.row.results:
            code, device = (result.training.get(key, {}) for key in ("code", "device"))
            origin = f"commit {code.get('commit') or 'unknown'} on {device.get('name', '?')}"
            origin += f" in {device['precision']}" if "precision" in device else ""
            name = f"{line.row.name} with {line.row.labelled} labelled"
            made.setdefault(origin, {}).setdefault(name, []).append(result.seed)
    if len(made) > 1:
        for origin, cells in sorted(made.items()):
            names = "; ".join(f"{name}, {_these(seeds)}" for name, seeds in cells.items())
            yield f"Made by {origin}: {names}."


def _methods(table: Sequence[Line]) -> Iterator[str]:
    """What the methods of the table say of their own numbers."""
    for name in dict.fromkeys(line.row.method for line in table):
        if name in METHODS:
            yield from (f"{name}: {remark}" for remark in METHODS[name].remarks)


def _published(table: Sequence[Line]) -> Iterator[str]:
    cited = sources(table)
    if cited:
        yield (
            "Published Dice: full-scale results as the method's authors report them; by others: as CrossMatch's table "
            "or another one has them. Sources [in brackets] say their protocol. Not tested against ours, and no equal "
            "comparison where the recipe is smaller."
        )
    reports = [report for line in table for report in line.published if report is not None]
    if any(report.validation_list for report in reports):
        yield f"{VALIDATION_LIST}: a figure of the validation patients, not of the test patients."
    if any(report.last is not None for report in reports):
        yield "last: the last checkpoint, by the authors' logs; the figure before it: of one chosen on the test scans."
    for number, source in enumerate(cited, start=1):
        yield f"[{number}] {source}."


def _by_labels(table: Sequence[Line]) -> dict[str, list[Line]]:
    groups: dict[str, list[Line]] = {}
    for line in table:
        groups.setdefault(line.row.labelled, []).append(line)
    return groups


def _datasets(table: Sequence[Line]) -> int:
    return len({result.fingerprint for line in table for result in line.row.results})


def _these(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _range(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if numbers[0] == numbers[-1] else f"{numbers[0]} to {numbers[-1]}"
