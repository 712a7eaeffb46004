"""The log of a run: scalars, gathered on the device and read every n steps, as JSON lines and for TensorBoard."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NotRequired

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch.atomic import parse_json, write_text
from crossmatch.errors import UserError
from crossmatch.runs.tracking import Tracker

Value = Annotated[float, Field(ge=-1e39, le=1e39, allow_inf_nan=False)]  # of 32 bits, as terms are computed in


class LoggedLine(TypedDict):
    """A line of `metrics.jsonl`: the values of a step, of training or of a validation; null where undefined."""

    step: Annotated[int, Field(ge=1, lt=2**53)]
    train: NotRequired[dict[str, Value | None]]
    validation: NotRequired[dict[str, Value | None]]


class Recorder:
    """Keeps the terms of each step on the device. Only `read` waits for the device: it moves all terms to the CPU."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.names: list[str] = []
        self.rows: list[Tensor] = []

    def add(self, step: int, terms: dict[str, Tensor]) -> None:
        """Keep the scalars of a step."""
        self.steps.append(step)
        self.names = list(terms)
        self.rows.append(torch.stack([value.detach().float() for value in terms.values()]))

    def read(self, advice: str, over_ranks: Callable[[Tensor], Tensor] = lambda values: values) -> dict[str, float]:
        """Mean of each term since the last call.

        Args:
            advice: what the user can do, for the error message.
            over_ranks: takes the mean of a tensor over several devices.

        Raises:
            UserError: a term is not finite; the message names the step and the term.
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
    """`metrics.jsonl` and TensorBoard of one run, and MLflow where it is tracked.

    Args:
        metrics: the JSON lines; tensorboard: a folder; both are cut back to `step`, the step a resumed run goes on at.
        tracker: sends the scalars to MLflow, which cannot be cut back: it gets what it does not have.
    """

    def __init__(self, metrics: Path, tensorboard: Path, step: int, tracker: Tracker | None = None) -> None:
        lines = read_metrics(metrics)
        kept = "".join(json.dumps(line) + "\n" for line in lines if line["step"] <= step)
        if not metrics.is_file() or metrics.read_text(encoding="utf-8") != kept:
            write_text(metrics, kept)  # whole or not at all: a kill in between loses nothing
        self.file, self.tracker = metrics.open("a"), tracker
        self.curves = SummaryWriter(str(tensorboard), purge_step=step + 1 if step else None)

    def write(self, step: int, group: str, values: dict[str, float]) -> None:
        """Add a line ``{"step": ..., group: {...}}``; NaN (undefined) becomes null."""
        line = {key: None if math.isnan(value) else value for key, value in values.items()}
        self.file.write(json.dumps({"step": step, group: line}) + "\n")
        self.file.flush()
        for key, value in values.items():
            self.curves.add_scalar(f"{group}/{key}", value, step)
        if self.tracker:
            self.tracker.write(step, group, values)

    def close(self) -> None:
        """Write out what is pending."""
        self.file.close()
        self.curves.close()
        if self.tracker:
            self.tracker.close()


def read_metrics(path: Path) -> list[LoggedLine]:
    """The lines of `metrics.jsonl`. A last line that was cut short by a crash is left out.

    Raises:
        UserError: the file cannot be read, or any other line is damaged; it is named.
    """
    try:
        text = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): change its permissions.") from None
    *whole, cut = text.split(b"\n")
    lines: list[LoggedLine] = []
    for number, line in enumerate(whole, start=1):
        way_out = "correct the line or take it out, or restore the file from a copy; nothing was changed"
        lines.append(parse_json(line, LoggedLine, f"{path}, line {number},", way_out))
        steps = [found["step"] for found in lines[-2:]]
        if steps != sorted(steps):
            raise UserError(f"{path}, line {number}, is of step {steps[1]}, after one of step {steps[0]}: {way_out}.")
    try:
        return [*lines, parse_json(cut, LoggedLine, "", "")]  # complete but for the end of the line
    except UserError:
        return lines
