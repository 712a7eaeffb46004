"""All that changes while a run trains, and how a checkpoint keeps and restores it bit for bit."""

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from crossmatch.errors import UserError
from crossmatch.methods import METHODS, Method
from crossmatch.networks import Segmenter
from crossmatch.networks.average import Average
from crossmatch.recipes.schema import Recipe, TrainSettings
from crossmatch.runs.checkpoint import Checkpoint, load_checkpoint, load_weights, save_checkpoint
from crossmatch.runs.devices import peak_memory
from crossmatch.runs.record import CheckpointFacts
from crossmatch.runs.run import Run
from crossmatch.training.teacher import load_teacher


@dataclass
class TrainerState:
    """Method, averaged weights and optimiser, and how far the run is.

    No state of a random generator is kept: random numbers are a function of seed and step, see `seeding`.
    """

    method: Method
    average: Average | None
    optimizer: torch.optim.Optimizer
    second_optimizer: torch.optim.Optimizer | None  # the method's own, see `Method.second_optimizer`
    fitted: Segmenter | None = None  # a copy to evaluate whose batch statistics fit, see `Recalibration`
    step: int = 0  # steps done
    best: float | None = None  # the highest validation Dice so far
    validation: float | None = None  # the last one
    seconds: float = 0.0  # spent training, validation and checkpoints included
    peak_memory: int = 0  # bytes, the most so far

    @classmethod
    def fresh(cls, recipe: Recipe, network: Segmenter, device: torch.device, graphs: bool = False) -> "TrainerState":
        """The state before the first step, on the device.

        With `graphs` the optimiser keeps its step and learning rate on the device too.
        """
        method = _method(recipe, network).to(device)
        average = Average(method.predictor(), recipe.train.ema) if recipe.train.ema else None
        second = method.second_optimizer(capturable=graphs and device.type == "cuda")
        taken = {id(weight) for weight in second.param_groups[0]["params"]} if second else set()
        weights = [weight for weight in method.parameters() if weight.requires_grad and id(weight) not in taken]
        optimizer = _optimizer(weights, recipe.train, method.nesterov, device if graphs else None)
        state = cls(method, average, optimizer, second)
        if recipe.train.recalibrate:
            state.fitted = copy.deepcopy(state.followed).requires_grad_(False)
        return state

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """All optimisers, by their names in a checkpoint."""
        second = {"second_optimizer": self.second_optimizer} if self.second_optimizer else {}
        return {"optimizer": self.optimizer, **second}

    @property
    def followed(self) -> Segmenter:
        """The network whose weights are evaluated: the averaged one where there is one."""
        return self.average.predictor() if self.average else self.method.predictor()

    @property
    def predictor(self) -> Segmenter:
        """The network to validate and to keep."""
        return self.followed if self.fitted is None else self.fitted

    def set_learning_rate(self, rate: float) -> None:
        """Set the rate of the next step."""
        group = self.optimizer.param_groups[0]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

    def save(self, run: Run, name: str) -> None:
        """Write the checkpoint ``last`` or ``best``; only ``last`` can be resumed from.

        Raises:
            UserError: weights are not finite (the loss may still be finite); the earlier checkpoint stays.
        """
        if not all(bool(torch.isfinite(weight).all()) for weight in self.predictor.parameters()):
            raise UserError(
                f"The weights are not finite after step {self.step}; {run.checkpoint(name)} was not written. Start "
                "a new run with a lower train.learning_rate, or with train.precision=float32."
            )
        trained = [weight for weight in self.method.parameters() if weight.requires_grad]
        self.peak_memory = max(self.peak_memory, peak_memory(trained[0].device) or 0)
        facts: CheckpointFacts = {
            "step": self.step,
            "best": self.best,
            "validation": self.validation,
            "seconds": self.seconds,
            "method": run.recipe.method.name,
            "parameters": sum(weight.numel() for weight in trained),
        }
        if self.peak_memory:
            facts["peak_memory"] = self.peak_memory
        training = self._tensors() if name == "last" else {}
        save_checkpoint(run.checkpoint(name), Checkpoint(facts, self.predictor.state_dict(), training))

    def restore(self, run: Run) -> None:
        """Go back to the run's last checkpoint, if it has one.

        Raises:
            UserError: the checkpoint belongs to another network or method.
        """
        path = run.checkpoint("last")
        if not path.is_file():
            return
        checkpoint = load_checkpoint(path)
        groups: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, value in checkpoint.training.items():
            group, _, name = key.partition("/")
            groups[group][name] = value
        load_weights(self.method, groups["method"], str(path))
        if self.average:
            load_weights(self.average, groups["average"], str(path))
        for name, optimizer in self.optimizers.items():
            _restore(optimizer, groups[name], path)
        facts = checkpoint.facts
        self.step, self.seconds = facts["step"], facts["seconds"]
        self.best, self.validation = facts.get("best"), facts.get("validation")
        self.peak_memory = facts.get("peak_memory", 0)

    def _tensors(self) -> dict[str, Tensor]:
        kept: dict[str, Tensor] = {f"method/{name}": value for name, value in self.method.state_dict().items()}
        if self.average:
            kept |= {f"average/{name}": value for name, value in self.average.state_dict().items()}
        return kept | {
            f"{name}/{index}/{kind}": value
            for name, optimizer in self.optimizers.items()
            for index, values in optimizer.state_dict()["state"].items()
            for kind, value in values.items()
            if isinstance(value, Tensor)
        }


def _restore(optimizer: torch.optim.Optimizer, kept: Mapping[str, Tensor], path: Path) -> None:
    """Give an optimiser the state that a checkpoint kept, by ``number of the weight/kind``."""
    state: dict[int, dict[str, Tensor]] = {}
    weights = optimizer.param_groups[0]["params"]
    for name, value in kept.items():
        index, _, kind = name.partition("/")
        if not (index.isdecimal() and int(index) < len(weights)):
            raise UserError(f"{path} is damaged (there is no weight {index!r}): start a new run.")
        weight = weights[int(index)]
        if value.shape == weight.shape:  # in the weight's memory layout, which fused optimisers rely on
            value = torch.empty_like(weight).copy_(value)
        state.setdefault(int(index), {})[kind] = value
    try:
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    except ValueError as error:
        raise UserError(f"{path} belongs to another optimiser ({error}): start a new run.") from None


def _method(recipe: Recipe, network: Segmenter) -> Method:
    kind, settings = METHODS[recipe.method.name], recipe.method.settings
    if settings.taught_by is None:
        return kind(network, settings, recipe.dice)
    return kind(network, settings, recipe.dice, load_teacher(settings.taught_by, network))


def _optimizer(
    weights: list[nn.Parameter], settings: TrainSettings, nesterov: bool, device: torch.device | None
) -> torch.optim.Optimizer:
    """The recipe's optimiser; with a `device`, its step and learning rate lie there."""
    decay, momentum = settings.weight_decay, settings.momentum
    rate = torch.tensor(settings.learning_rate, device=device) if device else settings.learning_rate
    if settings.optimizer == "adamw":
        capturable = device is not None and device.type == "cuda"
        return torch.optim.AdamW(weights, lr=rate, weight_decay=decay, fused=True, capturable=capturable)
    nesterov = nesterov and momentum > 0
    return torch.optim.SGD(weights, rate, momentum, weight_decay=decay, nesterov=nesterov, fused=True)
