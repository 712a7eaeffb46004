"""Which device computes, in which precision, and advice for when its memory is full."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import torch

from crossmatch.errors import SHORT_OF_MEMORY, UserError
from crossmatch.system.process import peak_bytes

Precision = Literal["auto", "bf16", "float32"]


def choose_device(name: str) -> torch.device:
    """``auto`` (the first CUDA device, else Apple's GPU, else the CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        UserError: no such device here.
    """
    if name == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(found)
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"There is no device {name!r}: write auto, cpu, cuda, cuda:1 or mps.") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"Device {name!r} is not supported: write auto, cpu, cuda, cuda:1 or mps.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"Device {name!r} is not available: it is an Apple GPU. Use --device cpu or auto.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UserError(f"Device {name!r} is not available: PyTorch sees {count} CUDA devices. Use --device cpu.")
    return device


def uses_bf16(precision: Precision, device: torch.device, coarse_size: Sequence[int] = ()) -> bool:
    """Whether convolutions run in bfloat16. ``auto``: if the hardware has it (a CPU without it is 10 times slower).

    On CPUs, PyTorch 2.13 computes a wrong bfloat16 weight gradient (memory that was never written) for a 3D convolution
    whose feature map has two voxels along its first axis. Networks with such a feature map use float32 there.

    Args:
        coarse_size: voxels along each axis of the network's coarsest feature map; () if no gradient is needed.

    Raises:
        UserError: no such precision, or ``bf16`` is asked for where its gradients would be wrong.
    """
    if precision not in get_args(Precision):
        raise UserError(f"There is no precision {precision!r}: write {', '.join(get_args(Precision))}.")
    wrong = device.type == "cpu" and len(coarse_size) == 3 and coarse_size[0] <= 2
    if precision == "bf16" and wrong:
        raise UserError(
            "On CPUs, bf16 gives wrong gradients in 3D for a data.size whose first axis is this small: use "
            "--set train.precision=float32, or a first axis of three times the network's multiple or more."
        )
    if precision != "auto" or wrong:
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def peak_memory(device: torch.device) -> int | None:
    """The most memory this process has held so far, bytes: tensors on a CUDA device, else all; None: unknown."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_bytes()


@contextmanager
def memory_advice(advice: str) -> Iterator[None]:
    """Turn running out of memory into a UserError that says which setting to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(f"Out of memory. {advice}") from error
    except RuntimeError as error:
        if not any(said in str(error) for said in SHORT_OF_MEMORY):
            raise
        raise UserError(f"Out of memory. {advice}") from error
