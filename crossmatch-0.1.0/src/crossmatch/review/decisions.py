"""What was decided about cases: a line each in RUN/review/decisions.jsonl, the last one of a case counts."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NotRequired

from typing_extensions import TypedDict  # as pydantic asks for before Python 3.12

from crossmatch.atomic import parse_json
from crossmatch.errors import UserError

FOLDER = "review"  # in the run's folder
State = Literal["open", "accepted", "rejected"]


class Decision(TypedDict):
    """One line."""

    id: str
    state: State
    when: str  # local time, ISO 8601
    who: str
    corrected_voxels: NotRequired[int]
    label: NotRequired[str]


class Decisions:
    """The decisions of a run's page, read once and added to. A killed process leaves at most a line that is cut."""

    def __init__(self, run_folder: Path) -> None:
        self.path = run_folder / FOLDER / "decisions.jsonl"
        self.last: dict[str, Decision] = {}
        self.made = 0  # by this process
        whole = self._read()
        if whole is not None:  # the rest of a line that was cut would spoil the next one
            os.truncate(self.path, whole)

    def _read(self) -> int | None:
        """Read the file; the length to cut it to where its last line is cut, else None."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{self.path} cannot be read ({error.strerror}): change its permissions.") from None
        *lines, cut = text.split(b"\n")
        for number, line in enumerate(lines, start=1):
            way_out = "correct the line or take it out; nothing was changed"
            found = parse_json(line, Decision, f"{self.path}, line {number},", way_out)
            self.last[found["id"]] = found
        return len(text) - len(cut) if cut else None

    def state(self, ident: str) -> State:
        """What was decided last about a case."""
        found = self.last.get(ident)
        return found["state"] if found else "open"

    def add(self, decision: Decision) -> None:
        """Write a decision down; it is on the disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.path.open("ab") as file:
                file.write(json.dumps(decision).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"{self.path} cannot be written ({error.strerror}): make room and try again.") from None
        self.last[decision["id"]] = decision
        self.made += 1

    def count(self, cases: Mapping[str, object]) -> dict[State, int]:
        """How many of the cases are in each state."""
        counts: dict[State, int] = {"open": 0, "accepted": 0, "rejected": 0}
        for ident in cases:
            counts[self.state(ident)] += 1
        return counts
