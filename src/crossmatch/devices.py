"""Which device computes, and in which precision; and what to say when its memory is full."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from crossmatch.errors import UserError

Precision = Literal["auto", "bf16", "float32"]


def choose_device(name: str) -> torch.device:
    """``auto`` (the first CUDA device, else the CPU), ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        UserError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"There is no device {name!r}: write auto, cpu, cuda or cuda:1.") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"Device {name!r} is not supported: write auto, cpu, cuda or cuda:1.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UserError(f"Device {name!r} is not here: PyTorch sees {count} CUDA devices. Use --device cpu or auto.")
    return device


def uses_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether convolutions run in bfloat16. ``auto``: where the hardware has it (a CPU without is 10 times slower)."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@contextmanager
def memory_advice(advice: str) -> Iterator[None]:
    """Turn running out of memory into a UserError that says which setting to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(f"Out of memory. {advice}") from error
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise UserError(f"Out of memory. {advice}") from error
