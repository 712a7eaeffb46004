"""What a run computes with: device, precision, number of devices and flags of the step; kept in run.json.

A resumed run must compute as before, or its numbers would differ from those of a run that was never stopped.
"""

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from crossmatch.errors import UserError
from crossmatch.runs.record import DeviceFacts


@dataclass(frozen=True)
class Machine:
    """The device of a run and how its steps are computed there."""

    device: torch.device
    precision: Literal["bf16", "float32"]  # of convolutions
    count: int = 1  # devices that train together
    flags: tuple[str, ...] = ()  # of --compile and --graphs

    def record(self) -> DeviceFacts:
        """What run.json says of it."""
        facts: DeviceFacts = {
            "type": self.device.type,
            "name": _device_name(self.device),
            "count": self.count,
            "precision": self.precision,
            "flags": list(self.flags),
        }
        if self.device.type == "cpu":
            facts["threads"] = torch.get_num_threads()
        return facts

    def check_resume(self, folder: Path, record: DeviceFacts) -> None:
        """Raise UserError unless the run in `folder`, with this `record`, can go on here with equal numbers."""
        if record["precision"] != self.precision:
            raise UserError(
                f"The run {folder} was started in {record['precision']}, and this machine would go on in "
                f"{self.precision}: resume it where it was started, or start a new run in another --out with "
                "--set train.precision=float32."
            )
        if sorted(record["flags"]) != sorted(self.flags):
            before, now = (" and ".join(f) or "neither --compile nor --graphs" for f in (record["flags"], self.flags))
            raise UserError(
                f"The run {folder} was started with {before}, and would go on with {now}, which rounds and drops out "
                "differently: repeat the flags it was started with."
            )
        if (count := record["count"]) != self.count:
            raise UserError(
                f"The run {folder} was started on {count} device{'s' * (count != 1)}, and would go on on {self.count}: "
                "each normalises and drops out by its own share of the batch. Resume it with --devices "
                f"{count} (or as many ranks of torchrun or srun), or start a new run in another --out."
            )

    def remark(self, record: DeviceFacts) -> str | None:
        """What the user should know before a run with this `record` goes on here."""
        now = self.record()
        if record.get("threads") in (None, now.get("threads")):
            return None
        return (
            f"the run was started with {record['threads']} CPU threads and goes on with {now.get('threads', 'none')}: "
            "sums are rounded in another order, so its weights will not be exactly those of a run that was never "
            f"stopped. OMP_NUM_THREADS={record['threads']} goes on exactly."
        )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
