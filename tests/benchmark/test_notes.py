"""The sentences below the table: what is said, and what is not said where it does not apply."""

from finished import NAN, cases, result

from crossmatch.benchmark.notes import notes
from crossmatch.benchmark.results import Result, aggregate
from crossmatch.benchmark.tables import lines


def said(results: list[Result], *missing: str) -> str:
    return "\n".join(notes(lines(aggregate(results)), missing))


def test_single_runs_are_called_single_runs() -> None:
    a = [result("a", cases(0.9, 0.8), seed=seed) for seed in (0, 1)]
    b = result("b", cases(0.7, 0.8))
    assert "single run" not in said(a)
    assert "±: standard deviation over seeds (ddof 1)" in said(a)
    assert "A single run (one seed), so without ±: b with 3 labelled." in said([*a, b])
    assert "Every row is a single run (one seed)" in said([a[0], b])
    assert "±" not in said([a[0], b])


def test_checkpoint() -> None:
    last, best = result("a", cases(0.9)), result("b", cases(0.9), checkpoint="best")
    assert "Checkpoint of every run: the last one of the run." in said([last])
    assert "Checkpoint of every run: the best one by the validation cases." in said([best])
    both = said([last, best])
    assert (
        "Checkpoints differ: the last one of the run (1 runs), the best one by the validation cases (1 runs)." in both
    )


def test_distances() -> None:
    assert "in mm." in said([result("a", cases(0.9))])
    assert "in voxels." in said([result("a", cases(0.9), mm=False)])
    assert "NaN" not in said([result("a", cases(0.9))])
    assert "counted (cases with such a class, over all seeds)" in said([result("a", cases(0.0), hd95=NAN)])


def test_patients_of_the_test_and_what_few_of_them_allow() -> None:
    pair = {case: "p" + case[-1] for case in ("ED1", "ES1", "ED2", "ES2", "ED3", "ES3")}
    a = result("a", dict.fromkeys(pair, 0.9), patients=pair)
    b = result("b", dict.fromkeys(pair, 0.8), patients=pair)
    text = said([a, b])
    assert "mean over the 6 test cases" in text
    assert "3 patients in common" in text
    assert "With 3 patients no p can be below 0.25" in text  # 2 of 2^3 sign patterns
    assert "Wilcoxon" not in said([a])
    many = {f"case {n}": 0.5 for n in range(6)}
    assert "no p can be below" not in said([result("a", many), result("b", many)])  # 2 of 2^6: 0.03


def test_patients_of_several_data_sets_count_apart() -> None:
    results = [result(m, cases(0.9, 0.8), seed=n, fingerprint=f"f{n}") for m in "ab" for n in (1, 2)]
    text = said(results)
    assert "4 patients in common" in text
    assert "A patient of each of 2 data sets counts by itself." in text


def test_published_costs_and_missing() -> None:
    plain = said([result("bcp", cases(0.9))])
    assert "Published" not in plain
    assert "missing" not in plain
    assert "Memory" not in plain
    assert "mean over seeds, on some CPU." in plain
    device = {"name": "another", "type": "cuda", "precision": "bf16"}
    known = [
        result("bcp", cases(0.9), dataset="LA", labelled="8", peak_memory_bytes=5),
        result("uamt", cases(0.8), dataset="LA", labelled="8", device=device),
    ]
    text = said(known, "cps, seed 2: failed")
    assert "Published Dice: full-scale results" in text
    assert "Memory: the device's peak" in text
    assert "on another; some CPU, not comparable between them." in text
    assert "Failed or missing (1), not in the table: cps, seed 2: failed." in text
