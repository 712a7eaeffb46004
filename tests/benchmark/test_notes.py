"""The sentences below the table: what is said, and what is not said where it does not apply."""

from dataclasses import replace

from finished import NAN, cases, result

from crossmatch.benchmark.lines import lines
from crossmatch.benchmark.notes import notes
from crossmatch.benchmark.results import Result, aggregate


def said(results: list[Result]) -> str:
    return "\n".join(notes(lines(aggregate(results))))


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
    assert "With 3 labelled, 3 patients, tested rows: 1; no p can be below 0.25" in text  # 2 of 2^3 sign patterns
    assert "Wilcoxon" not in said([a])
    many = {f"case {n}": 0.5 for n in range(6)}
    assert "no p can be below" not in said([result("a", many), result("b", many)])  # 2 of 2^6: 0.03
    # twice that, by Holm's correction; 7 labelled have one other row
    three = [result(m, many) for m in "abc"] + [result(m, many, labelled="7") for m in "ab"]
    assert "With 3 labelled, 6 patients, tested rows: 2; no p can be below 0.062." in said(three)
    assert "With 7 labelled" not in said(three)


def test_patients_of_several_data_sets_count_apart() -> None:
    results = [result(m, cases(0.9, 0.8), seed=n, fingerprint=f"f{n}") for m in "ab" for n in (1, 2)]
    text = said(results)
    assert "4 patients in common" in text
    assert "Patients of different data sets count apart." in text
    assert "Each seed has its own data set" in text


def test_published_and_costs() -> None:
    plain = said([result("bcp", cases(0.9))])
    assert "Published" not in plain
    assert "Memory" not in plain
    assert "Parameters" not in plain
    assert "with its validations and checkpoints, mean over seeds, on some CPU." in plain
    device = {"name": "another", "type": "cuda", "precision": "bf16"}
    known = [
        result("bcp", cases(0.9), dataset="LA", labelled="8", peak_memory_bytes=5, parameters=4),
        result("uamt", cases(0.8), dataset="LA", labelled="8", device=device),
    ]
    text = said(known)
    assert "Published Dice: full-scale results" in text
    assert "\n[1] Bai et al., Bidirectional Copy-Paste, CVPR 2023" in text
    assert "Protocol: checkpoint chosen on test scans; largest component kept; one run." in text
    assert "\n[2] Tables of the CrossMatch code" in text
    assert "[3]" not in text
    assert "†" not in text
    of_validation = said([result("crossmatch", cases(0.9), dataset="ACDC", labelled="3")])
    assert "†: a figure of the validation patients, not of the test patients." in of_validation
    chosen = said([result("admt", cases(0.9), dataset="LA", labelled="4")])
    assert "\nlast: the last checkpoint, by the authors' logs; the figure before it: of one chosen on" in chosen
    assert "\nlast:" not in text
    assert (
        "Memory: peak in training, on CUDA of PyTorch's tensors; on a CPU of the whole process; the largest of the "
        "seeds." in text
    )
    assert "on CUDA" not in said(known[:1])
    assert "Parameters: all that are trained." in text
    assert "on another; some CPU, not comparable between them." in text


def test_methods_state_remarks_of_their_own() -> None:
    assert "\ncps: Its parameters are those of two networks." in said([result("cps", cases(0.9), parameters=2)])
    assert "two networks" not in said([result("bcp", cases(0.9), parameters=2)])


def test_nnunet_is_named_where_its_result_is_shown() -> None:
    assert "\n[1] nnU-Net, other code than this row's" in said(
        [result("supervised_strong", cases(0.9), dataset="ACDC", labelled="3")]
    )


def test_unequal_runs_are_named() -> None:
    full = [result(m, cases(0.9, 0.8), seed=n) for m in "ab" for n in (1, 2, 3)]
    assert "Unequal" not in said(full)
    text = said([*full, result("c", cases(0.7, 0.8), seed=1), result("d", cases(0.7, 0.8), seed=1, labelled="7")])
    assert "Unequal runs with 3 labelled: c (without seeds 2, 3). Their means are over other runs or patients" in text
    assert "best and p are of seed 1, which all rows have on the same data." in text
    assert "Unequal runs with 7 labelled" not in text
    apart = said([full[0], result("c", cases(0.7, 0.8), seed=2)])
    assert "a (without seed 2); c (without seed 1)" in apart
    assert "no best and no p, as no seed with its data is common to all rows." in apart
    assert "Wilcoxon" not in apart


def test_a_grid_is_chosen_by_validation() -> None:
    point = result("a", cases(0.9), grid=(("train.steps", "9"),))
    valued = result("a", cases(0.9), grid=(("train.steps", "8"),), validation_dice=0.5)
    assert "chooses on test cases" not in said([result("a", cases(0.9), validation_dice=0.5)])
    assert "Rows of a grid are test scores: whoever chooses one by them chooses on test cases. Choose by Val." in said(
        [point, valued]
    )
    assert "Choose by validation cases: these runs have no validation." in said([point])
    assert "Val:" not in said([point])


def test_commits_and_machines_are_named_where_there_are_several() -> None:
    here = {"code": {"commit": "aaa"}, "device": {"type": "cpu", "name": "one CPU", "precision": "bf16"}}
    there = {"code": {"commit": "bbb"}, "device": {"type": "cuda", "name": "a GPU", "precision": "bf16"}}
    one = [result("bcp", cases(0.9, 0.8), seed=seed, **here) for seed in (0, 1)]
    assert not any(note.startswith("Made by") for note in notes(lines(aggregate(one))))
    two = [*one, result("bcp", cases(0.9, 0.8), seed=2, **there), result("cps", cases(0.7, 0.8), seed=2, **there)]
    made = [note for note in notes(lines(aggregate(two))) if note.startswith("Made by")]
    assert made == [
        "Made by commit aaa on one CPU in bf16: bcp with 3 labelled, seeds 0, 1.",
        "Made by commit bbb on a GPU in bf16: bcp with 3 labelled, seed 2; cps with 3 labelled, seed 2.",
    ]


def test_a_class_that_is_nowhere_is_told():
    plain = result("supervised", cases(1.0, 0.5))
    rows = (replace(plain.evaluation.rows[0], empty=True), plain.evaluation.rows[1])
    told = replace(plain, evaluation=replace(plain.evaluation, rows=rows))
    assert "counts as 1: block in up to 1 cases." in said([told])
    assert "counts as 1" not in said([plain])
