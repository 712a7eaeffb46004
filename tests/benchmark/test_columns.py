"""The table as shown: cells by hand, columns that come and go, narrow terminals."""

import math

from finished import NAN, cases, result
from rich.console import Console

from crossmatch.benchmark.columns import markdown_table, terminal_table
from crossmatch.benchmark.lines import lines, sources
from crossmatch.benchmark.results import GridPoint, Result, aggregate


def two_methods() -> list[Result]:
    """Dice a 90 and 80 %: 85 ± 7.07; b 60 % on the same two cases; LA with 8 labels has published results."""
    return [
        result("crossmatch", cases(0.9, 0.9), labelled="8", seed=0, dataset="LA", seconds=60, parameters=1813764),
        result("crossmatch", cases(0.8, 0.8), labelled="8", seed=1, dataset="LA", seconds=120, parameters=1813764),
        result("bcp", cases(0.5, 0.7), labelled="8", dataset="LA", hd95=NAN, seconds=7200),
        result("own|method", cases(0.4, 0.2), labelled="4", dataset="LA", peak_memory_bytes=2_500_000_000),
    ]


def shown(results: list[Result], width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(terminal_table(lines(aggregate(results)), "a title", console))
    return capture.get().splitlines()


def test_markdown_by_hand() -> None:
    assert markdown_table(lines(aggregate(two_methods()))) == (
        "| Labels | Method | Seeds | Dice (%) | Jaccard (%) | HD95 (mm) | ASD (mm) | NaN (cases) | Parameters (M) |"
        " Training | Memory (GB) | p (Holm) | First (P) | Published (Dice %) |"
        " By others (Dice %) |\n"
        f"{'| --- ' * 15}|\n"
        r"| 4 | own\|method | 1 | 30.00 | 15.00 | 8.00 | 2.00 |  |  | 60 s | 2.5 |  |  |  |  |"
        "\n"
        "| 8 | crossmatch | 2 | **85.00 ±7.07** | 42.50 ±3.54 | 8.00 ±0.00 | 2.00 ±0.00 |  | 1.81 | 2 min |  | best |"
        " 1.00 | 91.33 [1] |  |\n"
        "| 8 | bcp | 1 of 2 | 60.00 | 30.00 | NaN | NaN | 2 |  | 2.0 h |  | 0.500 | 0.00 | 89.62 [2] | 89.55 [3] |\n"
    )


def test_a_column_for_each_setting_of_the_grid_and_none_without_content() -> None:
    results = [
        result("a", cases(0.9), grid=(("method.eta", "0.3"),)),
        result("a", cases(0.8), grid=(("train.steps", "10"), ("method.eta", "0.6"))),
    ]
    found = [line.split(" | ") for line in markdown_table(lines(aggregate(results))).splitlines()]
    assert found[0] == ["| Labels", "Method", "method.eta", "train.steps", "Seeds", *found[0][5:]]
    assert [line[2:4] for line in found[2:]] == [["0.3", ""], ["0.6", "10"]]
    for absent in ("NaN", "Memory", "Parameters", "Published"):
        assert not any(head.startswith(absent) for head in found[0])


def test_a_wide_terminal_shows_every_column() -> None:
    found = shown(two_methods(), 170)
    row = next(line for line in found if "crossmatch" in line)
    assert row.split() == [
        "8",
        "crossmatch",
        "2",
        "85.00",
        "42.50",
        "8.00",
        "2.00",
        "1.81",
        "2",
        "min",
        "best",
        "1.00",
        "91.33",
        "[1]",
    ]
    assert found[found.index(row) + 1].split() == ["±7.07", "±3.54", "±0.00", "±0.00"]
    assert not any("Left out" in line for line in found)


def test_a_narrow_terminal_leaves_out_columns_and_says_which() -> None:
    found = shown(two_methods(), 80)
    text = " ".join(" ".join(found).split())
    assert max(map(len, found)) <= 80
    assert "Left out, the terminal is too narrow: Memory, Parameters" in text
    row = next(line for line in found if "crossmatch" in line).split()
    assert row[:4] == ["8", "crossmatch", "2", "85.00"]
    assert row[-3:] == ["best", "91.33", "[1]"]


def test_validation_dice_stays_beside_a_grid() -> None:
    def headings(grid: GridPoint) -> str:
        known = {"validation_dice": 0.625, "parameters": 5, "dataset": "LA", "labelled": "8"}
        found = shown([result("bcp", cases(0.9), grid=grid, seed=n, **known) for n in (1, 2)], 60)
        return " ".join(" ".join(found).split())

    assert "Parameters, By others, Val, Training" in headings(())
    beside = headings((("train.steps", "9"),))
    assert "Left out, the terminal is too narrow: Parameters, By others, Training" in beside
    assert "62.50" in beside
    assert "| Seeds | Val (%) | Dice (%) |" in markdown_table(
        lines(aggregate([result("a", cases(0.9), validation_dice=0.5), result("b", cases(0.9))]))
    )


def test_sources_are_numbered_as_they_come_and_validation_patients_are_marked() -> None:
    methods = ("bcp", "uamt", "supervised_strong", "dmd", "crossmatch")
    found = lines(aggregate([result(m, cases(0.9), labelled="3", dataset="ACDC") for m in methods]))
    rows = [line.strip("|").split(" | ") for line in markdown_table(found).splitlines()[2:]]
    assert {row[1]: [cell.strip() for cell in row[-2:]] for row in rows} == {
        "bcp": ["87.59 [1]", ""],
        "crossmatch": ["88.27† [2]", ""],
        "dmd": ["66.23 [3]", "80.60 [4]"],
        "supervised_strong": ["", "82.96 [5]"],
        "uamt": ["", "46.04 [6]"],
    }
    assert [source.split()[0] for source in sources(found)] == ["Bai", "Zhao,", "Xie", "Tables", "nnU-Net,", "Tables"]


def test_the_published_figure_of_mc_net_plus_is_not_shown_for_two_decoders() -> None:
    def shown_for(decoders: int) -> bool:
        one = result("mcnet", cases(0.9), labelled="8", dataset="LA")
        one.evaluation.prediction["recipe"]["method"]["decoders"] = decoders
        return "88.96" in markdown_table(lines(aggregate([one])))

    assert (shown_for(3), shown_for(2)) == (True, False)


def test_figures_by_others_and_of_the_last_checkpoint_stand_beside_the_authors_own() -> None:
    """In the Markdown and in a terminal that is wide enough."""
    results = [result(name, cases(0.9), labelled="8", dataset="LA") for name in ("mcnet", "admt", "cml")]
    rows = [line.strip("|").split(" | ") for line in markdown_table(lines(aggregate(results))).splitlines()[2:]]
    assert {row[1]: [cell.strip() for cell in row[-2:]] for row in rows} == {
        "admt": ["90.55 (last 90.1) [1]", ""],
        "cml": ["", "90.36 [2]"],
        "mcnet": ["88.96 [3]", "87.68 [4]"],
    }
    found = " ".join(" ".join(shown(results, 200)).split())
    assert all(figure in found for figure in ("90.55 (last 90.1) [1]", "88.96 [3] 87.68 [4]"))


def test_small_p_is_not_shown_as_zero() -> None:
    many = {f"case {n}": 0.5 + 0.001 * n for n in range(20)}
    fewer = {case: dice - 0.1 - 0.001 * n for n, (case, dice) in enumerate(many.items())}
    found = lines(aggregate([result("a", many), result("b", fewer)]))
    assert math.isclose(found[1].comparison.p or 0, 2**-19)
    assert "| <0.001 |" in markdown_table(found)
