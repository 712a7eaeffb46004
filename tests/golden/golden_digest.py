"""A large array in a few numbers."""

from typing import Any

import torch
from torch import Tensor

ENTRIES = 12  # evenly spaced


def digest(value: Tensor) -> dict[str, Any]:
    """Sum, sum of absolute values, and some entries by their place in the flat array."""
    flat = value.detach().double().flatten()
    places = torch.linspace(0, len(flat) - 1, ENTRIES).long().tolist()
    return {
        "sum": flat.sum().item(),
        "absolute": flat.abs().sum().item(),
        "entries": {str(place): flat[place].item() for place in places},
    }
