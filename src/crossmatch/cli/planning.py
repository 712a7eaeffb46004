"""The command `plan`, and what `train auto` shares with it. Heavy imports stand inside, as in `app`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossmatch.errors import UserError, quoted

if TYPE_CHECKING:
    from rich.console import Console

    from crossmatch.plan.make import Plan
    from crossmatch.recipes.schema import Recipe

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1")]
Minutes = Annotated[
    float | None, typer.Option(min=0, help="choose size and steps so that training takes this many minutes")
]


def plan(
    data: Annotated[Path, typer.Argument(help="a dataset's folder")],
    out: Annotated[Path, typer.Option(help="the recipe to write")] = Path("plan.toml"),
    minutes: Minutes = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="a setting of your own: section.key=value")] = None,
    device: Device = "auto",
) -> None:
    """Choose a recipe from the data, with reasons, and measure what it takes on this machine."""
    from crossmatch.atomic import write_text
    from crossmatch.runs.display import Terminal

    console = Terminal()
    if out.exists():
        raise UserError(f"{out} exists already: choose another --out, or remove it; nothing was overwritten.")
    if out.suffix != ".toml":
        raise UserError(f"{out}: a recipe's name must end in .toml; choose another --out.")
    found = shown_plan(console, data, minutes, set_ or [], device)
    write_text(out, found.toml())
    console.print(
        f"Recipe: {out}. Next: crossmatch train {quoted(out)} --data {quoted(data)} --out RUN", soft_wrap=True
    )


def shown_plan(console: "Console", data: Path, minutes: float | None, changes: Sequence[str], device: str) -> "Plan":
    """Make a plan and say what was chosen, why, and what it takes."""
    from crossmatch.plan.make import make_plan
    from crossmatch.recipes.load import parse_change
    from crossmatch.runs.display import progress_bar

    given = {".".join(keys): value for keys, value in map(parse_change, changes)}

    def measuring(recipe: "Recipe") -> None:
        form = "patches" if recipe.data.sampling == "patch" else "images"
        console.print(f"Measuring steps with {form} of {' x '.join(map(str, recipe.data.size))}", highlight=False)

    with progress_bar(console, "Looking at the data") as loading:
        found = make_plan(data, minutes=minutes, changes=given, device=device, loading=loading, measuring=measuring)
    for line in (*found.proposal.lines(), *found.cost_lines()):
        console.print(line, soft_wrap=True, highlight=False)
    return found
