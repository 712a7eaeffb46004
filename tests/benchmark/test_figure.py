"""The figure: what is drawn where, the same bytes from the same rows, readable with many methods."""

from pathlib import Path

import numpy as np
import pytest
from finished import cases, result
from matplotlib import rc_context

from crossmatch.benchmark.figure import draw, write_figure
from crossmatch.benchmark.results import Row, aggregate


def rows(methods: int = 2, labels: tuple[str, ...] = ("all", "16", "3"), seeds: int = 2) -> list[Row]:
    """Method m on the n-th number of labels has Dice 0.5 + 0.01 m + 0.1 n ± 0.01 (seeds 0 and 1)."""
    order = sorted(labels, key=lambda name: (name == "all", len(name), name))
    return aggregate(
        [
            result(f"m{m:02d}", cases(0.5 + 0.01 * m + 0.1 * n + 0.02 * seed - 0.01), labelled=name, seed=seed)
            for m in range(methods)
            for n, name in enumerate(order)
            for seed in range(seeds)
        ]
    )


def test_lines_over_equally_spaced_numbers_of_labels() -> None:
    axes = draw(rows()).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["3", "16", "all"]
    assert "not to scale" in axes.get_xlabel()
    first = axes.get_lines()[0]
    np.testing.assert_allclose(first.get_xdata(), [0, 1, 2])
    np.testing.assert_allclose(first.get_ydata(), [50, 60, 70])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    sd = np.sqrt(2)  # of two seeds 2 apart
    assert (band.min(), band.max()) == pytest.approx((50 - sd, 70 + sd))
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["m01", "m00"]


def test_a_method_without_a_number_of_labels_keeps_its_places() -> None:
    found = [row for row in rows() if (row.method, row.labelled) != ("m00", "16")]
    np.testing.assert_allclose(draw(found).axes[0].get_lines()[0].get_xdata(), [0, 2])


def test_one_number_of_labels_gives_dots_with_the_best_on_top() -> None:
    figure = draw(rows(methods=3, labels=("3",)))
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["m00", "m01", "m02"]
    rings = axes.get_lines()[-1]
    np.testing.assert_allclose(sorted(rings.get_xdata()), [51, 53])
    single = draw(rows(labels=("3",), seeds=1)).axes[0]
    assert [text.get_text() for text in single.get_yticklabels()] == ["m00 (single run)", "m01 (single run)"]


def test_fewer_seeds_than_other_methods_are_said() -> None:
    for labels in (("3",), ("3", "7")):
        own = [row for row in rows(labels=labels) if row.method == "m01"]
        axes = draw([*own, *(row for row in rows(labels=labels, seeds=3) if row.method == "m00")]).axes[0]
        legend = axes.get_legend()
        texts = axes.get_yticklabels() if legend is None else legend.get_texts()
        assert sorted(text.get_text() for text in texts) == ["m00", "m01 (fewer seeds)"]


def test_no_axis_for_dice_beyond_0_and_100() -> None:
    wide = [result("a", cases(dice), seed=n) for n, dice in enumerate((0.0, 0.0, 0.3))]  # 10 ± 17 %
    assert draw(aggregate(wide)).axes[0].get_xlim()[0] == -1


def test_twelve_methods_are_told_apart_and_the_legend_is_outside() -> None:
    figure = draw(rows(methods=12))
    axes = figure.axes[0]
    found = axes.get_lines()
    assert len({(line.get_color(), line.get_marker()) for line in found}) == 12
    assert len({(line.get_color(), line.get_linestyle()) for line in found}) == 12
    legend = axes.get_legend()
    assert legend is not None
    figure.draw_without_rendering()
    assert legend.get_window_extent().x0 > axes.get_window_extent().x1


@pytest.mark.parametrize("labels", [("3",), ("3", "7")])
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_same_rows_same_bytes_whatever_the_user_set(tmp_path: Path, labels: tuple[str, ...], ending: str) -> None:
    found = rows(labels=labels)
    write_figure(found, tmp_path / f"first.{ending}")
    with rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.dpi": 30}):
        write_figure(found, tmp_path / f"second.{ending}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"first.{ending}", f"second.{ending}"]
    first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("first", "second"))
    assert first == second
    assert len(first) > 2000
