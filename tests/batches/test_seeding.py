"""Randomness as a function of (seed, stream, step): repeatable, unrelated, and every item once a pass."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmatch.batches import seeding
from crossmatch.batches.seeding import Shuffled
from crossmatch.methods.schedules import poly_decay

STREAMS = (
    seeding.LABELLED,
    seeding.UNLABELLED,
    seeding.PARTNERS,
    seeding.LABELLED_VIEWS,
    seeding.UNLABELLED_VIEWS,
    seeding.NETWORK,
)


def test_near_numbers_give_different_seeds():
    seeds = [seeding.mix(*key) for key in itertools.product(range(8), STREAMS, range(50))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_pinned():
    """A change here changes every run; the numbers are NumPy's SeedSequence, whose output is stable by its contract."""
    assert seeding.mix(0, 0, 0) == 7896617691693857887
    assert seeding.mix(1337, seeding.NETWORK, 30000) == 4490603999460930998


def test_a_generator_is_a_function_of_its_numbers():
    first, again = (torch.rand(4, generator=seeding.generator(3, 1, 5)) for _ in range(2))
    assert torch.equal(first, again)
    others = [seeding.generator(*key) for key in ((4, 1, 5), (3, 2, 5), (3, 1, 6))]
    assert not any(torch.equal(first, torch.rand(4, generator=other)) for other in others)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(count=st.integers(1, 20), batch=st.integers(1, 45), seed=st.integers(0, 2**40))
def test_every_item_once_a_pass(count, batch, seed):
    draw = Shuffled(count, batch, seed, seeding.LABELLED)
    steps = -(-3 * count // batch)
    stream = torch.cat([draw(step) for step in range(steps)])
    assert draw(0).shape == (batch,)
    for turn in range(3):
        assert sorted(stream[turn * count : (turn + 1) * count].tolist()) == list(range(count))


@settings(deadline=None, max_examples=30, derandomize=True)
@given(count=st.integers(1, 20), batch=st.integers(1, 45), steps=st.permutations(range(6)))
def test_a_batch_depends_on_the_step_alone(count, batch, steps):
    one, other = (Shuffled(count, batch, 7, seeding.UNLABELLED) for _ in range(2))
    in_order = [one(step) for step in range(6)]
    for step in steps:
        assert torch.equal(other(step), in_order[step])


def test_passes_and_streams_have_orders_of_their_own():
    draw = Shuffled(50, 50, 0, seeding.UNLABELLED)
    orders = [draw(0), draw(1), Shuffled(50, 50, 0, seeding.PARTNERS)(0), Shuffled(50, 50, 1, seeding.UNLABELLED)(0)]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(orders, 2))


@pytest.mark.parametrize(
    ("progress", "power", "factor"),
    [(0.0, 0.9, 1.0), (1.0, 0.9, 0.0), (0.5, 1.0, 0.5), (0.75, 0.5, 0.5), (0.3, 0.0, 1.0)],
)
def test_poly_decay_by_hand(progress, power, factor):
    assert poly_decay(progress, power) == pytest.approx(factor)


def test_poly_decay_past_the_end_is_zero():
    assert poly_decay(1.5) == 0
