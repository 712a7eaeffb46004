"""What a run writes down: scalars, gathered on the device and read every n steps, as JSON lines and TensorBoard."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from crossmatch.errors import UserError


class Recorder:
    """Keeps the terms of each step on the device; `read` moves them to the CPU together, the only wait for it."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.names: list[str] = []
        self.rows: list[Tensor] = []

    def add(self, step: int, terms: dict[str, Tensor]) -> None:
        """Note the scalars of a step; nothing is read."""
        self.steps.append(step)
        self.names = list(terms)
        self.rows.append(torch.stack([value.detach().float() for value in terms.values()]))

    def read(self, advice: str, over_ranks: Callable[[Tensor], Tensor] = lambda values: values) -> dict[str, float]:
        """Mean of each term since the last call; `over_ranks` takes the mean of a tensor over several devices.

        Raises:
            UserError: a term is not finite; names the step and the term, and adds `advice`.
        """
        values = over_ranks(torch.stack(self.rows).cpu())
        finite = torch.isfinite(values)
        if not finite.all():
            row, column = (~finite).nonzero()[0].tolist()
            name, value = self.names[column], values[row, column].item()
            raise UserError(f"The loss is not finite: {name} was {value} at step {self.steps[row]}. {advice}")
        self.steps, self.rows = [], []
        return dict(zip(self.names, values.mean(0).tolist(), strict=True))


class Logbook:
    """`metrics.jsonl` and TensorBoard of one run.

    Args:
        metrics: the JSON lines; tensorboard: a folder; both are cut back to `step`, the step a resumed run goes on at.
    """

    def __init__(self, metrics: Path, tensorboard: Path, step: int) -> None:
        kept = [line for line in read_metrics(metrics) if line["step"] <= step]
        metrics.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self.file = metrics.open("a")
        self.curves = SummaryWriter(str(tensorboard), purge_step=step + 1 if step else None)

    def write(self, step: int, group: str, values: dict[str, float]) -> None:
        """Add a line ``{"step": ..., group: {...}}``; NaN (undefined) becomes null."""
        line = {key: None if math.isnan(value) else value for key, value in values.items()}
        self.file.write(json.dumps({"step": step, group: line}) + "\n")
        self.file.flush()
        for key, value in values.items():
            self.curves.add_scalar(f"{group}/{key}", value, step)

    def close(self) -> None:
        """Write out what is pending."""
        self.file.close()
        self.curves.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`; a last line cut short by a crash is left out."""
    lines = []
    for text in path.read_text().splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
