"""Two ranks of a training on CPUs as processes of their own, for tests: `run_ranks` starts this very file twice."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HERE = Path(__file__).parent
FOUR_STEPS = ["train.steps=4", "train.log_every=3", "train.ema=0.9", "method.name=mean_teacher", "data.memory_gb=0"]
FOUR_STEPS += ["train.recalibrate=true"]  # by rank 0 alone, with images of the whole batch
FAILS = "rank 1 has no memory left"


def run_ranks(task: str, folder: Path) -> list[tuple[int, str]]:
    """Run a task of this file on two ranks, which save into `folder`; exit code and stderr of each."""
    stores = [torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) for _ in range(3)]
    ports = [str(store.port) for store in stores]  # one for each time that ranks meet
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ports[0], "TORCHELASTIC_USE_AGENT_STORE": "True"}
    common["PORTS"] = " ".join(ports)
    common |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, task, str(folder)],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [rank.communicate(timeout=240)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    return [(rank.returncode, text) for rank, text in zip(ranks, said, strict=True)]


def half(batch: Any, rank: int) -> Any:
    """A rank's half of a `Batch`."""
    if isinstance(batch, Tensor):
        return batch.chunk(2)[rank]
    return type(batch)(*(half(part, rank) for part in batch))


def seed(step: int, rank: int) -> None:
    """Of all that a method draws in a step of `methods`."""
    torch.manual_seed(10 * step + rank)


def variants() -> dict[str, Any]:
    """Every method on a U-Net with batch normalisation, and CrossMatch on a V-Net without any."""
    from tiny_methods import build, noise

    from crossmatch.methods import METHODS, CrossMatch
    from crossmatch.methods.losses import DiceSettings
    from crossmatch.networks.vnet import VNet, VNetSettings

    found = {name: (build(name, 2), noise(2, labelled=4, unlabelled=4)) for name in METHODS}
    torch.manual_seed(0)
    network = VNet(2, 2, 3, VNetSettings(width=2, dropout=0.0, normalisation="none"))
    bare = CrossMatch(network, CrossMatch.Settings(threshold=0.3), DiceSettings())
    return {**found, "vnet without normalisation": (bare, noise(2, "vnet", labelled=4, unlabelled=4))}


def gradients(method: torch.nn.Module) -> dict[str, Tensor]:
    """Of the parameters that are trained."""
    return {name: weight.grad.clone() for name, weight in method.named_parameters() if weight.requires_grad}


def methods(team: Any, folder: Path) -> None:
    """Two steps of each method: gradients of the first, what the ranks hold after both and after the next forward."""
    rank, results = team.place.rank, {}
    for name, (method, batch) in variants().items():
        trained = [weight for weight in method.parameters() if weight.requires_grad]
        model, optimizer = team.fabric.setup(method, torch.optim.SGD(trained, 0.1))
        for step in range(2):
            method.before_step(step, 4)  # BCP goes over to its second stage
            seed(step, rank)
            terms = model(half(batch, rank), torch.tensor(0.5))
            optimizer.zero_grad()
            team.fabric.backward(terms["total"])
            if step == 0:
                results[name] = {"gradients": gradients(method)}
            optimizer.step()
            method.after_step()
        results[name]["parameters"] = {key: value.detach().clone() for key, value in method.named_parameters()}
        results[name]["buffers"] = {key: value.clone() for key, value in method.named_buffers()}
        model.eval()
        with torch.no_grad():
            model(half(batch, rank), torch.tensor(0.5))
        results[name]["next buffers"] = {key: value.clone() for key, value in method.named_buffers()}
    torch.save(results, folder / f"methods{rank}.pt")


def agree(team: Any, folder: Path) -> None:
    """What the ranks agree on; then one fails."""
    from crossmatch.errors import UserError

    rank = team.place.rank
    found = {
        "any": [team.any(rank == 1), team.any(False)],
        "mean": team.mean(torch.tensor([float(rank), float("nan") if rank else 0.0])),
        "first": team.first(lambda: f"made by {rank}"),
    }
    torch.save(found, folder / f"agree{rank}.pt")
    if rank == 1:
        raise UserError(FAILS)
    team.wait()


def fits(folder: Path) -> None:
    """Four steps; the same stopped by a signal to rank 1 alone after two; and resumed."""
    from crossmatch.recipes.load import load_recipe
    from crossmatch.training.fit import fit
    from crossmatch.training.ranks import find_place
    from train_tiny import TINY, Quiet

    recipe, place = load_recipe("phantom", [*TINY, *FOUR_STEPS]), find_place(None)
    done = []
    for number, (name, stop) in enumerate([("whole", None), ("parts", 2), ("parts", None)]):
        os.environ["MASTER_PORT"] = os.environ["PORTS"].split()[number]
        display = Quiet(interrupt_at=stop if place.rank == 1 else None)
        done.append(fit(recipe, folder / "data", folder / name, display, place=place, resume=number == 2))
    torch.save(done, folder / f"fits{place.rank}.pt")


def main(task: str, folder: Path) -> None:
    """One rank."""
    sys.path += [str(HERE), str(HERE / "methods")]
    torch.set_num_threads(1)
    if task == "fits":
        fits(folder)
        return
    from crossmatch.training import ranks
    from crossmatch.training.team import Team

    ranks.GIVE_WAY_SECONDS = 0.0
    team = Team(ranks.find_place(None), torch.device("cpu"), bf16=False)
    with team.together():
        methods(team, folder)
        agree(team, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
