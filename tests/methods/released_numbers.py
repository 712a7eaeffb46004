"""Numbers of the rivals' released codes, beside the repository (README_rivals.md there explains each)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

VALUES = {"rtol": 1e-4, "atol": 1e-5}
GRADIENT = 1e-4  # of a gradient's largest entry


def cases(shared: Path, method: str) -> dict[str, dict[str, Tensor]]:
    """Case -> ``kind:name`` -> tensor, for one method's file; kinds are ``in``, ``out`` and ``grad``."""
    found: dict[str, dict[str, Tensor]] = {}
    with np.load(shared / "golden" / f"rivals_{method}_shared.npz") as arrays:
        for key in arrays.files:
            case, _, name = key.partition("|")
            found.setdefault(case, {})[name] = torch.from_numpy(np.atleast_1d(arrays[key]).reshape(arrays[key].shape))
    return found


def assert_gradient(found: Tensor | None, released: Tensor, share: float = GRADIENT) -> None:
    """Equal to a share of the largest entry."""
    assert found is not None
    assert found.shape == released.shape
    largest = released.abs().max().item()
    assert largest > 0
    assert (found - released).abs().max().item() <= share * largest
