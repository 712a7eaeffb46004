"""Bias field: a smooth gain over an image, as an MR scanner's coils cause it, the exponential of a polynomial.

Shapes: B batch, D spatial axes, *S space, n = ORDER + 1 powers 0..ORDER of each coordinate in [-1, 1].
Source: Van Leemput et al., IEEE TMI 18(10), 1999; order and ranges as the released code
github.com/AiEson/CrossMatch, commit 59772e0, has them from torchio's RandomBiasField.
"""

import torch
from torch import Tensor

ORDER = 3  # total degree of the polynomial


def coefficients_of(dims: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw U(-1, 1) for every monomial up to total degree ORDER, 0 for the others: (B, n, ..., n), D axes of n."""
    power = torch.arange(ORDER + 1)
    degree = sum(power.view(*[-1 if axis == k else 1 for k in range(dims)]) for axis in range(dims))
    drawn = 2 * torch.rand(count, *[ORDER + 1] * dims, generator=generator) - 1
    return torch.where(torch.as_tensor(degree <= ORDER), drawn, 0.0)


def bias_field(coefficients: Tensor, size: tuple[int, ...]) -> Tensor:
    """Coefficients (B, n, ..., n) -> gains (B, *S), above 0.

    The polynomial is summed axis by axis, each time by a product with the powers of that axis' coordinate. The last
    axis costs n multiplications a voxel, the others hardly any.
    """
    field = coefficients
    for n in size:
        coordinate = torch.linspace(-1, 1, n, device=field.device)
        powers = coordinate.unsqueeze(0) ** torch.arange(ORDER + 1, device=field.device).unsqueeze(1)  # (n, S)
        field = torch.tensordot(field, powers, dims=([1], [0]))  # the axis moves to the end
    return field.exp()
