"""The bias field against a plain sum over monomials; which coefficients are drawn."""

import itertools
import math

import numpy as np
import pytest
import torch

from crossmatch.perturb.bias import bias_field, coefficients_of

SIZES = {2: (7, 10), 3: (6, 9, 4)}


def _drawn(dims: int, count: int, seed: int = 0) -> torch.Tensor:
    return coefficients_of(dims, count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dims", [2, 3])
def test_the_field_is_the_exponential_of_a_sum_over_monomials(dims):
    size, coefficients = SIZES[dims], 0.5 * _drawn(dims, 3)
    coordinates = np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij")
    field = bias_field(coefficients, size)
    assert field.shape == (3, *size)
    for k in range(3):
        logarithm = np.zeros(size)
        for powers in itertools.product(range(4), repeat=dims):
            if sum(powers) <= 3:
                monomial = math.prod(x**p for x, p in zip(coordinates, powers, strict=True))
                logarithm += float(coefficients[(k, *powers)]) * monomial
        np.testing.assert_allclose(field[k].numpy(), np.exp(logarithm), rtol=1e-5)


def test_the_field_by_hand():
    """.1 + .2 x - .4 y z over 3 x 3 x 5 voxels: coordinates -1, 0, 1 and -1, -.5, 0, .5, 1."""
    coefficients = torch.zeros(1, 4, 4, 4)
    coefficients[0, 0, 0, 0], coefficients[0, 1, 0, 0], coefficients[0, 0, 1, 1] = 0.1, 0.2, -0.4
    field = bias_field(coefficients, (3, 3, 5))[0].log()
    assert field[1, 1, 2].item() == pytest.approx(0.1, abs=1e-6)
    assert field[2, 1, 4].item() == pytest.approx(0.3, abs=1e-6)
    assert field[0, 2, 3].item() == pytest.approx(0.1 - 0.2 - 0.2, abs=1e-6)
    assert field[0, 0, 0].item() == pytest.approx(0.1 - 0.2 - 0.4, abs=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_without_coefficients_the_gain_is_one(dims):
    assert (bias_field(torch.zeros(2, *[4] * dims), SIZES[dims]) == 1).all()


@pytest.mark.parametrize(("dims", "monomials"), [(2, 10), (3, 20)])
def test_monomials_up_to_the_third_degree_are_drawn_from_minus_one_to_one(dims, monomials):
    drawn = _drawn(dims, 4000)
    assert drawn.shape == (4000, *[4] * dims)
    degree = np.indices([4] * dims).sum(0)
    assert not drawn[:, torch.from_numpy(degree > 3)].any()
    used = drawn[:, torch.from_numpy(degree <= 3)]
    assert used.shape == (4000, monomials)
    assert (used.min().item(), used.max().item()) == pytest.approx((-1, 1), abs=0.001)
    assert used.mean(0).abs().max() < 0.05
    assert used.std(0).numpy() == pytest.approx(np.full(monomials, 1 / math.sqrt(3)), abs=0.02)  # of U(-1, 1)
    correlation = np.corrcoef(used.numpy().T) - np.eye(monomials)
    assert np.abs(correlation).max() < 0.08


@pytest.mark.parametrize("dims", [2, 3])
def test_a_generators_seed_fixes_the_coefficients(dims):
    assert torch.equal(_drawn(dims, 2, seed=4), _drawn(dims, 2, seed=4))
    assert not torch.equal(_drawn(dims, 2, seed=4), _drawn(dims, 2, seed=5))
