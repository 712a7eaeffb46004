"""Label values: what is proposed, what the user says, what is refused; by hand."""

from pathlib import Path

import numpy as np
import pytest

from crossmatch.errors import UserError
from crossmatch.importers.values import choose_values, values_in
from crossmatch.importers.wishes import parse_names, parse_values

A, B, C = Path("a"), Path("b"), Path("c")


@pytest.mark.parametrize(
    ("found", "changed", "highest"),
    [
        ([{0, 1}], {}, 1),
        ([{0, 1, 2, 3}], {}, 3),
        ([{0, 255}], {255: 1}, 1),
        ([{0}, {0, 2}], {2: 1}, 1),
        ([{0, 1, 2}, {0, 4}], {4: 3}, 3),  # BraTS
        ([{0, 1, 3}], {3: 2}, 2),
        ([{0}], {}, 1),
        ([{0, 255}, {0, 255}, {0, 17, 90, 255}], {255: 1}, 1),  # the third has grey edges
    ],
)
def test_values_without_doubt_are_proposed(found: list[set[int]], changed: dict[int, int], highest: int) -> None:
    chosen = choose_values({Path(str(n)): values for n, values in enumerate(found)}, {}, {}, None)
    assert chosen.changed == changed
    assert list(chosen.labels.values()) == list(range(highest + 1))
    assert list(chosen.labels)[:2] == ["background", "label_1"]


@pytest.mark.parametrize("found", [{0, 128, 255}, {0, 500, 600}, {0, 1, 7}, {-1, 0, 1}, set(range(0, 250, 9))])
def test_doubtful_values_are_asked_for(found: set[int]) -> None:
    with pytest.raises(UserError, match=r"cannot be guessed: say it, for example --map"):
        choose_values({A: found}, {}, {}, None)


def test_a_map_changes_its_values_alone_and_refuses_others_by_file() -> None:
    chosen = choose_values({A: {0, 1, 2, 4}, B: {0, 9}}, {4: 3}, {3: "enhancing"}, None)
    assert chosen.labels == {"background": 0, "label_1": 1, "label_2": 2, "enhancing": 3}
    assert chosen.wrong(A, {0, 1, 2, 4}) is None
    assert "b holds the label values 9; labels are" in str(chosen.wrong(B, {0, 9}))
    np.testing.assert_array_equal(chosen.apply(np.array([[0, 4], [2, 1]], np.int16)), [[0, 3], [2, 1]])
    assert chosen.apply(np.array([4.0])).dtype == np.uint8
    assert chosen.turns({0, 4})
    assert not chosen.turns({0, 1, 2})


def test_maps_may_exchange_join_and_drop_values() -> None:
    chosen = choose_values({A: {0, 1, 2, 3, 600}}, {1: 2, 2: 1, 3: 1, 600: 0}, {}, None)
    np.testing.assert_array_equal(chosen.apply(np.array([0, 1, 2, 3, 600], np.uint16)), [0, 2, 1, 1, 0])
    below = choose_values({A: {-1, 0, 1}}, {-1: 0}, {}, None)
    np.testing.assert_array_equal(below.apply(np.array([-1, 0, 1], np.int16)), [0, 0, 1])
    rest = choose_values({A: {0, 1, 4, 9}}, {9: 0, 4: 0}, {}, None)
    assert (rest.labels, rest.changed) == ({"background": 0, "label_1": 1}, {9: 0, 4: 0})
    with pytest.raises(UserError, match="cannot be guessed"):  # nothing but background is left
        choose_values({A: {0, 1}}, {1: 0}, {}, None)
    with pytest.raises(UserError, match="up to 3 are given, and no file holds a label 2"):
        choose_values({A: {0, 1, 4}}, {4: 3}, {}, None)


def test_names_say_which_values_there_are() -> None:
    chosen = choose_values({A: {0, 1}, B: {0, 2}}, {}, {1: "liver", 2: "tumour"}, None)
    assert (chosen.labels, chosen.changed) == ({"background": 0, "liver": 1, "tumour": 2}, {})
    closed = choose_values({A: {0, 1, 2, 4}}, {}, {1: "a", 2: "b", 4: "c"}, None)
    assert (closed.labels, closed.changed) == ({"background": 0, "a": 1, "b": 2, "c": 3}, {4: 3})
    with pytest.raises(UserError, match="up to 5 are given, and no file holds a label 2"):
        choose_values({A: {0, 255}}, {255: 1}, {1: "a", 5: "b"}, None)


def test_a_source_that_names_its_labels_is_believed() -> None:
    stated = {"background": 0, "RV": 1, "LV": 3}
    chosen = choose_values({A: {0, 1}}, {}, {}, stated)
    assert (chosen.labels, chosen.changed) == ({"background": 0, "RV": 1, "LV": 2}, {3: 2})
    joined = choose_values({A: {0, 1}}, {3: 1}, {}, stated)
    assert joined.labels == {"background": 0, "RV": 1}


def test_a_value_that_nobody_named_is_never_taken_for_another_label() -> None:
    """Closing the gap moves 2 to 1: a 1 in the files would become the liver."""
    for chosen in (
        choose_values({A: {0, 1, 2, 4}}, {}, {2: "liver", 4: "tumour"}, None),
        choose_values({A: {0, 1, 2}}, {}, {}, {"background": 0, "liver": 2, "tumour": 4}),
    ):
        assert chosen.labels == {"background": 0, "liver": 1, "tumour": 2}
        assert chosen.wrong(A, {0, 2, 4}) is None
        assert "a holds the label values 1; labels are" in str(chosen.wrong(A, {0, 1}))
        assert "name them where the others are named, or make them background with --map 1=0" in str(
            chosen.wrong(A, {0, 1, 2})
        )
    ignored = choose_values({A: {0, 1, 2, 255}}, {}, {1: "lesion", 255: "ignore"}, None)
    assert ignored.labels == {"background": 0, "lesion": 1, "ignore": 2}
    assert ignored.wrong(A, {0, 2})
    for names, stated in (({2: "liver", 4: "tumour"}, None), ({}, {"background": 0, "liver": 2, "tumour": 4})):
        dropped = choose_values({A: {0, 1, 2, 4}}, {1: 0}, names, stated)
        assert dropped.labels == {"background": 0, "liver": 1, "tumour": 2}
        assert dropped.wrong(A, {0, 1, 2, 4}) is None
        np.testing.assert_array_equal(dropped.apply(np.array([0, 1, 2, 4])), [0, 0, 1, 2])


def test_two_values_of_a_file_become_one_label_only_if_the_user_says_so() -> None:
    binary = {Path(str(n)): values for n, values in enumerate([{0, 255}, {0, 255}, {0, 255}, {0, 1}, {0, 1, 255}])}
    chosen = choose_values(binary, {}, {}, None)
    assert chosen.changed == {255: 1}
    assert chosen.wrong(A, {0, 1}) is None  # a mask of 0 and 1 among those of 0 and 255
    assert "a holds the label values 1, 255, which would all become 1: correct" in str(chosen.wrong(A, {0, 1, 255}))
    assert chosen.told({0, 1, 255}) == "255 becomes 1, 1 stays 1"
    assert chosen.told({0, 255}) == "255 becomes 1"
    wanted = choose_values(binary, {255: 1}, {}, None)
    assert wanted.wrong(A, {0, 1, 255}) is None
    assert wanted.told({0, 1, 255}) == "255 becomes 1, 1 stays 1"
    assert choose_values({A: {0, 1, 2}}, {}, {}, None).told({0, 1, 2}) == ""


def test_values_are_whole_numbers() -> None:
    assert values_in(A, np.array([0.0, 2.0, 1.0], np.float32)) == {0, 1, 2}
    for odd in (0.5, np.nan):
        with pytest.raises(UserError, match=r"a holds .* which is no whole number"):
            values_in(A, np.array([0.0, odd]))


def test_what_the_options_hold() -> None:
    assert parse_values(["255=1", "4=3, -1=0"]) == {255: 1, 4: 3, -1: 0}
    assert parse_names("1=left lung, 2=Tumour=solid") == {1: "left lung", 2: "Tumour=solid"}
    for wrong in ("255", "a=1", "255=b", "1=-2", "1=70000"):
        with pytest.raises(UserError, match="--map"):
            parse_values([wrong])
    with pytest.raises(UserError, match="gives 1 two values, 2 and 3"):
        parse_values(["1=2", "1=3"])
    for wrong in ("liver", "1=", "1=a,1=b", "1=a,2=a"):
        with pytest.raises(UserError, match="--names"):
            parse_names(wrong)
