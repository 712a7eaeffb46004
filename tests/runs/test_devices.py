"""Choosing a device and a precision, and advice when memory is full."""

import re
import subprocess
import sys

import pytest
import torch

from crossmatch.errors import UserError
from crossmatch.runs.devices import choose_device, memory_advice, uses_bf16

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def test_without_a_gpu(no_cuda: None) -> None:
    assert choose_device("auto") == choose_device("cpu") == CPU
    for name, told in (
        ("cuda", "'cuda' is not available: PyTorch sees 0 CUDA devices. Use --device cpu"),
        ("cuda:1", "'cuda:1' is not available"),
        ("gpu", "no device 'gpu': write auto, cpu, cuda"),
        ("", "no device ''"),
        ("mps", "'mps' is not available: it is an Apple GPU"),
        ("xpu", "'xpu' is not supported"),
    ):
        with pytest.raises(UserError, match=re.escape(told)):
            choose_device(name)


def test_with_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == choose_device("cuda") == CUDA
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UserError, match="'cuda:2' is not available: PyTorch sees 2"):
        choose_device("cuda:2")


def test_apples_gpu_comes_after_cuda_and_before_the_cpu(no_cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    mps = torch.device("mps")
    assert choose_device("auto") == choose_device("mps") == mps
    assert choose_device("cpu") == CPU
    assert not uses_bf16("auto", mps)
    assert uses_bf16("bf16", mps)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == CUDA


def test_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = (16, 16)
    assert uses_bf16("bf16", CPU, plane)
    assert not uses_bf16("float32", CUDA, plane)
    for avx512, amx in ((False, False), (True, False), (False, True)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda found=avx512: found)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda found=amx: found)
        assert uses_bf16("auto", CPU, plane) == (avx512 or amx)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert not uses_bf16("auto", CUDA, plane)  # emulated does not count


def test_no_bf16_where_a_cpu_computes_wrong_gradients_in_3d(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    for coarse, right in (((1, 4, 4), False), ((2, 4, 4), False), ((3, 1, 2), True), ((2, 2), True)):
        assert uses_bf16("auto", CPU, coarse) is right
        assert uses_bf16("auto", CUDA, coarse)
        assert uses_bf16("bf16", CPU)  # prediction, which takes no gradient
        if not right:
            with pytest.raises(UserError, match=r"precision=float32"):
                uses_bf16("bf16", CPU, coarse)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    ],
)
def test_full_memory_becomes_advice(error: Exception) -> None:
    with pytest.raises(UserError, match=r"^Out of memory\. Lower it\.$"), memory_advice("Lower it."):
        raise error


def test_pytorch_really_says_so_and_other_errors_pass() -> None:
    with pytest.raises(UserError, match="Out of memory"), memory_advice("Lower it."):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="shape"), memory_advice("Lower it."):
        torch.zeros(2).view(3)


def test_peak_memory_is_this_processes_own() -> None:
    """A parent that once held much is not counted, what the process itself held is."""
    held = bytearray(400 << 20)
    del held
    code = "import torch; from crossmatch.runs.devices import peak_memory as p; a = p(torch.device('cpu')); "
    code += "b = bytearray(300 << 20); del b; print(a, p(torch.device('cpu')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    before, after = (int(number) for number in found.stdout.split())
    assert 50 << 20 < before < 600 << 20
    assert 290 << 20 < after - before < 310 << 20


@pytest.mark.parametrize("said", ["[enforce fail] can't allocate memory: 3 GB", "could not create a primitive"])
def test_what_libraries_say_when_memory_is_short(said):
    with pytest.raises(UserError, match=r"Out of memory\. Lower something"), memory_advice("Lower something."):
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="a defect"), memory_advice("Lower something."):
        raise RuntimeError("a defect")
