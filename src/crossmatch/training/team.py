"""What the ranks of one training do together: Fabric with a group of processes, and what they agree on.

Gradients (DDP) and statistics of batch normalisation go between the devices. Flags, texts and logged numbers go between
the hosts in a group of their own, so that agreeing never waits for a device.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.plugins.precision.precision import Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from crossmatch.errors import UserError
from crossmatch.methods import METHODS, Method
from crossmatch.recipes.schema import Recipe
from crossmatch.training.ranks import Place, end_silently

T = TypeVar("T")
PATIENCE = timedelta(days=1)  # how long hosts wait for each other: rank 0 validates, some read scans more slowly
_OF_FABRIC = tuple(f"LT_{name}" for name in ("ACCELERATOR", "STRATEGY", "DEVICES", "NUM_NODES", "PRECISION"))
FAILED = "crossmatch/failed"  # a counter that ranks share: the first to fail gives the error message


def check_place(recipe: Recipe, device: torch.device, place: Place) -> None:
    """Raise UserError unless each rank has a device of its own and an equal share, and no other program rules these."""
    if found := [name for name in _OF_FABRIC if name in os.environ]:
        raise UserError(
            f"The environment variable {found[0]} is set: with it Lightning Fabric would choose devices or precision "
            "instead of the recipe. Unset it, and start several devices with --devices, torchrun or srun."
        )
    if place.count == 1:
        return
    if device.type == "cuda" and device.index is not None:
        raise UserError(f"--device {device} is one GPU, for {place.count} ranks: write --device cuda, or leave it out.")
    if device.type == "cuda" and torch.cuda.device_count() < place.per_node:
        raise UserError(
            f"{place.per_node} ranks on this machine need as many GPUs, and PyTorch sees {torch.cuda.device_count()}: "
            "start fewer, or let every rank see all GPUs of its machine (SLURM: --gpus-per-node, not --gpus-per-task)."
        )
    counts = {"labelled": recipe.train.batch.labelled}
    if METHODS[recipe.method.name].needs_unlabelled:
        counts["unlabelled"] = recipe.train.batch.unlabelled
    for name, count in counts.items():
        if count % place.count:
            more = -(-count // place.count) * place.count
            raise UserError(
                f"train.batch.{name} is {count}, the images of one step over all devices, and {place.count} devices "
                f"cannot share them equally: the next number that works is --set train.batch.{name}={more}."
            )
    try:
        for size in recipe.data.sizes:
            recipe.network.settings.check_size(size, min(counts.values()) // place.count)
    except ValueError as error:
        raise UserError(f"With the batch shared by {place.count} devices: {error}.") from None


def check_flags(flags: Sequence[str], device: torch.device, place: Place) -> None:
    """Raise UserError unless a step can be taken with these flags, of ``--compile`` and ``--graphs``."""
    if flags and place.count > 1:
        raise UserError(
            f"{' and '.join(flags)} needs one device, and {place.count} are asked for (the statistics that they share "
            "can be neither compiled nor captured). Leave it out, or train on one device."
        )
    if "--graphs" in flags and device.type != "cuda":
        raise UserError("--graphs replays CUDA graphs, and training is on the CPU: leave it out.")


class Autocast(MixedPrecision):
    """Fabric's mixed precision with inputs left in float32: images and progress are not rounded."""

    def convert_input(self, data: Any) -> Any:
        """The data unchanged; autocast converts the inputs of convolutions."""
        return data


class Team:
    """The ranks of a training. A rank that trains alone communicates with nobody.

    Making a team waits until every rank has made its own.

    Args:
        place: of this rank.
        device: the device that was asked for; the attribute `device` is this rank's own.
        bf16: whether convolutions run in bfloat16.
    """

    def __init__(self, place: Place, device: torch.device, bf16: bool) -> None:
        self.place, self.device = place, device
        if device.type == "cuda":
            self.device = torch.device("cuda", place.local_rank if place.count > 1 else device.index or 0)
            torch.cuda.set_device(self.device)  # where streams and graphs are made; the call needs a device's number
        precision = Autocast("bf16-mixed", device.type) if bf16 else Precision()
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # no lines about precision and process group
        if place.count == 1:
            devices = [self.device.index] if device.type == "cuda" else 1
            alone = LightningEnvironment()  # or Fabric would look for ranks in SLURM's variables of a batch script
            self.fabric = Fabric(accelerator=device.type, devices=devices, plugins=[precision, alone])
            return
        # Both backends are named because Fabric destroys a group of "nccl" alone when the process ends. After an error
        # that would wait for the other ranks.
        strategy = DDPStrategy(
            cluster_environment=SLURMEnvironment() if place.slurm else TorchElasticEnvironment(),
            process_group_backend="cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        )
        self.fabric = Fabric(
            accelerator=device.type,
            devices=place.per_node,
            num_nodes=place.nodes,
            strategy=strategy,
            plugins=precision,
        )
        self.fabric.launch()
        self.hosts = dist.new_group(backend="gloo", timeout=PATIENCE)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0: it alone writes files, validates and shows progress."""
        return self.place.rank == 0

    def first(self, work: Callable[[], T]) -> T:
        """Run `work` on rank 0 and return its result on every rank."""
        if self.place.count == 1:
            return work()
        given = [work() if self.leads else None]
        dist.broadcast_object_list(given, src=0, group=self.hosts)
        result: T = given[0]  # type: ignore[assignment]
        return result

    def any(self, flag: bool) -> bool:
        """Whether the flag of any rank is set."""
        if self.place.count == 1:
            return flag
        flags = torch.tensor(float(flag))
        dist.all_reduce(flags, dist.ReduceOp.MAX, self.hosts)
        return bool(flags)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over ranks of a tensor on the CPU; not finite where the value of any rank is not."""
        if self.place.count == 1:
            return values
        dist.all_reduce(values, group=self.hosts)
        return values / self.place.count

    def wait(self) -> None:
        """Wait until every rank has called this."""
        self.any(False)

    def joined(self, method: Method) -> Method:
        """The method; on CUDA devices its batch normalisation takes statistics over all ranks.

        PyTorch has no such layer for CPUs: there each rank normalises by its own images.
        """
        if self.place.count == 1 or self.device.type != "cuda":
            return method
        joined: Method = torch.nn.SyncBatchNorm.convert_sync_batchnorm(method)  # type: ignore[no-untyped-call]
        return joined

    @contextmanager
    def together(self) -> Iterator[None]:
        """When a rank fails, all end: the first gives the error message, the others end silently."""
        if self.place.count == 1:
            yield
            return
        try:
            yield
        except BaseException as error:
            first = self._fails_first()
            # An open gloo group can abort the process at its end. Destroying the NCCL group would wait for other ranks.
            dist.destroy_process_group(self.hosts if self.device.type == "cuda" else None)
            if not first:
                end_silently()
            if isinstance(error, RuntimeError) and "onnection" in str(error):
                raise UserError(
                    "Another process of this training was killed, often because memory ran out. Go on from the last "
                    "checkpoint by adding --resume."
                ) from error
            raise
        dist.destroy_process_group()

    def _fails_first(self) -> bool:
        try:
            return dist.distributed_c10d._get_default_store().add(FAILED, 1) == 1
        except RuntimeError:  # rank 0 keeps the counter, and has ended
            return False
