"""The processes that train one network together: which of them this one is, and how they are started.

A rank is one process with one device. `torchrun` and `srun` start ranks and describe them in environment variables;
`start` does the same on this machine. Importing this file imports nothing heavy.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from crossmatch.errors import UserError
from crossmatch.system.process import STOPPING, apart, ask_to_stop

SILENT = 70  # exit code of a rank that ends without a message because another rank gives it
GIVE_WAY_SECONDS = 2.0  # such a rank ends so much later: a launcher stops all ranks when the first one ends
GRACE_SECONDS = 10.0  # between the first rank that ends with an error and killing those that still wait for it
_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")  # variables that it sets


@dataclass(frozen=True)
class Place:
    """Where this process stands among the ranks of a training. By default it trains alone."""

    rank: int = 0  # counted from 0 over all machines
    local_rank: int = 0  # on this machine: the number of its device
    count: int = 1  # ranks on all machines
    nodes: int = 1  # machines
    slurm: bool = False  # started by srun
    started: bool = True  # False: the ranks must still be started, with `start`

    @property
    def per_node(self) -> int:
        """Ranks of a machine."""
        return self.count // self.nodes

    @contextmanager
    def one_message(self) -> Iterator[None]:
        """Give one error message a machine for a mistake that every rank finds before the ranks are connected."""
        try:
            yield
        except UserError:
            if self.local_rank > 0:
                end_silently()
            raise


ALONE = Place()


def end_silently() -> NoReturn:
    """End this process without a message, a little after the one that gives the message."""
    time.sleep(GIVE_WAY_SECONDS)
    raise SystemExit(SILENT) from None


def find_place(devices: int | None, environment: Mapping[str, str] = os.environ) -> Place:
    """Where this process stands.

    Args:
        devices: how many the user wants on each machine; None: one for each rank that was started.
        environment: variables of the process.

    Raises:
        UserError: the number of ranks is not the one asked for, or machines have different numbers of ranks, or
            the variables cannot be right.
    """

    def number(name: str, least: int = 0) -> int:
        text = environment.get(name)
        if text is None or not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
            found = "is not set" if text is None else f"is {text!r}"
            raise UserError(
                f"The environment variable {name} {found}, and must be a whole number from {least}: torchrun and srun "
                f"set such variables. Start with one of them, or unset {', '.join(_TORCHRUN)} and SLURM_STEP_NUM_TASKS."
            )
        return int(text)

    given = [name for name in _TORCHRUN if name in environment and number(name) >= 0]
    if len(given) == len(_TORCHRUN) or ("WORLD_SIZE" in given and number("WORLD_SIZE") > 1):
        # perhaps below one srun task a machine
        ranks, local = number("WORLD_SIZE", 1), number("LOCAL_WORLD_SIZE", 1)
        place = Place(number("RANK"), number("LOCAL_RANK"), ranks, max(1, ranks // local))
        even = ranks % local == 0 and place.rank < ranks and place.local_rank < local
    elif "SLURM_STEP_NUM_TASKS" in environment and number("SLURM_STEP_NUM_TASKS") > 1:  # of srun, not a batch script
        if "SLURM_NTASKS_PER_NODE" not in environment:
            raise UserError(
                "srun must know how many ranks a machine has: add #SBATCH --ntasks-per-node=GPUS_A_MACHINE."
            )
        ranks, nodes = number("SLURM_STEP_NUM_TASKS"), number("SLURM_STEP_NUM_NODES", 1)
        place = Place(number("SLURM_PROCID"), number("SLURM_LOCALID"), ranks, nodes, slurm=True)
        even = place.per_node == number("SLURM_NTASKS_PER_NODE")
    else:
        return Place(count=devices or 1, started=devices in (None, 1))
    if not even or place.count != place.per_node * place.nodes:
        raise UserError(
            f"{place.count} ranks on {place.nodes} machines: start the same number of ranks on every machine."
        )
    if devices not in (None, place.per_node):
        raise UserError(
            f"--devices {devices}, but {'srun' if place.slurm else 'torchrun'} has started {place.per_node} ranks on "
            "each machine: leave out --devices."
        )
    return place


def start(count: int) -> int:
    """Run this command once for each of `count` devices of this machine, and wait for all of them.

    Ctrl-C and other requests to stop are passed on to every rank; the ranks agree on the step they stop after. After
    one has failed, those that still wait for it are killed.

    Returns:
        0, or the exit code of the rank that failed with a message; 128 + n if signal n stopped the ranks.

    Raises:
        UserError: a rank was killed and no rank gave a message.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # outlives every rank
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(meeting.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    common |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "GROUP_RANK": "0"}
    ranks: list[subprocess.Popen[bytes]] = []
    with _passed_on(ranks):
        for rank in range(count):
            own = {**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            words = [sys.executable, "-P", "-m", "crossmatch", *sys.argv[1:]]
            ranks.append(subprocess.Popen(words, env=own, **apart()))  # signals come from here
        _wait(ranks)
    codes = [rank.returncode for rank in ranks]
    if not any(codes):
        return 0
    if failed := [code for code in codes if code > 0 and code != SILENT]:
        return failed[0]
    killed = next((rank for rank, code in enumerate(codes) if code < 0), 0)
    if -codes[killed] in STOPPING:
        return 128 - codes[killed]
    raise UserError(
        f"The process of device {killed} was killed (signal {-codes[killed]}; 9 often means that memory ran out). Go "
        "on from the last checkpoint by adding --resume, or start a new run with a smaller train.batch."
    )


def _wait(ranks: list[subprocess.Popen[bytes]]) -> None:
    """Wait until all have ended; kill the rest some time after a failure."""
    failed: float | None = None
    while None in (codes := [rank.poll() for rank in ranks]):
        if failed is None and any(codes):
            failed = time.monotonic()
        if failed is not None and time.monotonic() - failed > GRACE_SECONDS:
            for rank in ranks:
                rank.kill()
        time.sleep(0.05)


@contextmanager
def _passed_on(ranks: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Pass requests to stop on to every rank; no rank runs on after this block."""

    def forward(number: int, frame: FrameType | None) -> None:
        for rank in ranks:
            ask_to_stop(rank, number)

    previous = {number: signal.signal(number, forward) for number in STOPPING}
    try:
        yield
    finally:
        for rank in ranks:
            rank.kill()  # has ended, unless something went wrong here
        for number, handler in previous.items():
            signal.signal(number, handler)
