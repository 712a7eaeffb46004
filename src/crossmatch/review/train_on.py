"""The last words of a review: what was decided, and the command that trains on."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from crossmatch.errors import listed, quoted
from crossmatch.review.accepting import label_folder
from crossmatch.review.joining import ALL, subset_after

if TYPE_CHECKING:
    from crossmatch.review.desk import Desk


def last_words(desk: "Desk") -> dict[str, str | None]:
    """`told`: what was decided, in sentences. `command`: that trains on; None where nothing was accepted."""
    cases = desk.gathered.cases
    last = {ident: decision for ident, decision in desk.decisions.last.items() if ident in cases}
    accepted = [ident for ident, decision in last.items() if decision["state"] == "accepted"]
    rejected = [cases[ident] for ident, decision in last.items() if decision["state"] == "rejected"]
    corrected = sum(bool(last[ident].get("corrected_voxels")) for ident in accepted)
    told = [f"{len(accepted)} of {len(cases)} cases accepted, {corrected} of them with corrections."]
    if rejected:
        where = sorted({label_folder(desk.root, case.images).name for case in rejected})
        names = listed(case.name for case in rejected)
        told.append(f"{len(rejected)} rejected: {names}. Label these by hand, in {' or '.join(where)}.")
    command = None
    if any(cases[ident].kind != "validation" for ident in accepted):
        subset = subset_after(desk.run)
        chosen = "" if subset == ALL else f" --set data.labelled={subset}"
        out = _next_out(desk.run.folder)
        data = f" --data {quoted(desk.root)}" if str(desk.root) != desk.run.data["root"] else ""
        command = f"crossmatch train --from {quoted(desk.run.folder)}{data}{chosen} --out {quoted(out)}"
    return {"told": " ".join(told), "command": command}


def _next_out(folder: Path) -> Path:
    """A folder beside the run's that is not there yet: run_2, then run_3, ..."""
    found = re.fullmatch(r"(.+)_(\d{1,3})", folder.resolve().name)
    stem, number = (found[1], int(found[2])) if found else (folder.resolve().name, 1)
    while (out := folder.with_name(f"{stem}_{number + 1}")).exists():
        number += 1
    return out
