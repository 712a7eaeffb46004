"""Which scans are chosen: uncertain ones, of several patients, not all alike."""

import numpy as np

from crossmatch.inference.variety import choose

UNCERTAINTY = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
FEATURES = np.array([[0.0], [0.1], [5.0], [5.1], [50.0]])
NONE = np.empty((0, 1))


def chosen(pool: int, *, patients: str = "abcde", known: np.ndarray = NONE, count: int = 2) -> list[int]:
    """The numbers of the chosen scans."""
    return [one.number for one in choose(UNCERTAINTY, FEATURES, list(patients), known, count, pool)]


def test_uncertainty_alone_takes_the_most_uncertain() -> None:
    assert chosen(pool=2) == [0, 1]


def test_among_the_uncertain_the_farthest_comes_next() -> None:
    assert chosen(pool=4) == [0, 3]


def test_variety_alone_takes_the_stranger_that_is_trusted() -> None:
    assert chosen(pool=5, known=np.array([[0.0]])) == [4, 3]


def test_labelled_scans_push_their_like_away() -> None:
    assert chosen(pool=4, known=np.array([[0.0]]), count=1) == [3]


def test_a_patient_is_not_asked_for_twice_while_others_are_left() -> None:
    assert chosen(pool=2, patients="aabbc") == [0, 2]
    assert sorted(chosen(pool=5, patients="aaaaa", count=9)) == [0, 1, 2, 3, 4]


def test_places_and_distances_are_told() -> None:
    first, second = choose(UNCERTAINTY, FEATURES, list("abcde"), NONE, 2, 4)
    assert (first.place, first.distance) == (1, None)
    assert second.place == 4
    assert second.distance is not None
    assert 0 < second.distance < 1
