"""What the ranks of one training do together: Fabric with a group of processes, and what they agree on.

Tensors go between devices (DDP's gradients, statistics of batch normalisation); flags, texts and logged numbers between
the hosts, over a group of its own, so that agreeing never waits for a device.
"""

import logging
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
PATIENCE = timedelta(days=1)  # of the hosts: for rank 0's validation, and the slowest to read its scans
FAILED = "crossmatch/failed"  # counter that ranks share: the first to fail tells why


def check_place(recipe: Recipe, device: torch.device, place: Place) -> None:
    """Raise UserError unless each rank has a device of its own and an equal share of the batch."""
    if place.count == 1:
        return
    if device.type == "cuda" and device.index is not None:
        raise UserError(f"--device {device} is one GPU, for {place.count} ranks: write --device cuda, or leave it out.")
    if device.type == "cuda" and torch.cuda.device_count() < place.per_node:
        raise UserError(
            f"{place.per_node} ranks on this machine need as many GPUs, and PyTorch sees {torch.cuda.device_count()}: "
            "start fewer, or let every rank see all GPUs of its machine (SLURM: --gpus-per-node, not --gpus-per-task)."
        )
    sizes = {"labelled": recipe.train.batch.labelled}
    if METHODS[recipe.method.name].needs_unlabelled:
        sizes["unlabelled"] = recipe.train.batch.unlabelled
    for name, size in sizes.items():
        if size % place.count:
            more = -(-size // place.count) * place.count
            raise UserError(
                f"train.batch.{name} is {size}, the images of one step over all devices, and {place.count} devices "
                f"cannot share them equally: the next number that works is --set train.batch.{name}={more}."
            )
    try:
        recipe.network.settings.check_size(recipe.data.size, min(sizes.values()) // place.count)
    except ValueError as error:
        raise UserError(f"With the batch shared by {place.count} devices: {error}.") from None


def check_flags(flags: Sequence[str], device: torch.device, place: Place) -> None:
    """Raise UserError unless a step can be taken with these of ``--compile`` and ``--graphs``."""
    if flags and place.count > 1:
        raise UserError(
            f"{' and '.join(flags)}: for one device, and {place.count} are to train (statistics that they share can be "
            "neither compiled nor captured). Leave it out, or train on one."
        )
    if "--graphs" in flags and device.type != "cuda":
        raise UserError("--graphs replays CUDA graphs, and training is on the CPU: leave it out.")


class Autocast(MixedPrecision):
    """Fabric's mixed precision, but inputs stay float32: neither images nor progress are rounded."""

    def convert_input(self, data: Any) -> Any:
        """As it is; autocast converts what convolutions take."""
        return data


class Team:
    """The ranks of a training; one that trains alone asks nobody.

    Args:
        place: of this rank. All must make their teams: that waits for the last one.
        device: that was asked for; `device` of the team is this rank's own.
        bf16: whether convolutions run in bfloat16.
    """

    def __init__(self, place: Place, device: torch.device, bf16: bool) -> None:
        self.place, self.device = place, device
        if device.type == "cuda":
            self.device = torch.device("cuda", place.local_rank if place.count > 1 else device.index or 0)
            torch.cuda.set_device(self.device)  # streams and graphs are made on the current one; it wants a number
        precision = Autocast("bf16-mixed", device.type) if bf16 else Precision()
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would announce precision and group
        if place.count == 1:
            devices = [self.device.index] if device.type == "cuda" else 1
            alone = LightningEnvironment()  # or Fabric would look for ranks in SLURM's variables of a batch script
            self.fabric = Fabric(accelerator=device.type, devices=devices, plugins=[precision, alone])
            return
        # Named for both devices: of a group of "nccl" alone Fabric takes leave when the process ends, and after an
        # error that waits for the other ranks.
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
        """Whether this is rank 0, which alone writes, validates and shows."""
        return self.place.rank == 0

    def first(self, work: Callable[[], T]) -> T:
        """What `work` gives on rank 0, on every rank; the others wait."""
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
        """Mean over ranks of a tensor on the CPU; not finite where one of them is not."""
        if self.place.count == 1:
            return values
        dist.all_reduce(values, group=self.hosts)
        return values / self.place.count

    def wait(self) -> None:
        """Until all ranks have come here."""
        self.any(False)

    def joined(self, method: Method) -> Method:
        """The method, with batch statistics over all ranks on CUDA devices.

        On CPUs PyTorch has no such layer: there each rank normalises by its own images.
        """
        if self.place.count == 1 or self.device.type != "cuda":
            return method
        joined: Method = torch.nn.SyncBatchNorm.convert_sync_batchnorm(method)  # type: ignore[no-untyped-call]
        return joined

    @contextmanager
    def together(self) -> Iterator[None]:
        """The ranks end together: the first that fails tells why, the others end silently."""
        if self.place.count == 1:
            yield
            return
        try:
            yield
        except BaseException as error:
            told = not self._fails_first()
            # gloo left open can abort the process at its end; to take leave of NCCL would wait for the other ranks
            dist.destroy_process_group(self.hosts if self.device.type == "cuda" else None)
            if told:
                end_silently()
            if isinstance(error, RuntimeError) and "onnection" in str(error):
                raise UserError(
                    "Another process of this training ended without a word: it was killed, which is often want of "
                    "memory. Go on from the last checkpoint by adding --resume."
                ) from error
            raise
        dist.destroy_process_group()

    def _fails_first(self) -> bool:
        try:
            return dist.distributed_c10d._get_default_store().add(FAILED, 1) == 1
        except RuntimeError:  # rank 0, which keeps the counter, has gone
            return False
