"""A finished run that goes on to more steps, by a schedule that is said and recorded."""

from crossmatch.atomic import write_json
from crossmatch.errors import UserError
from crossmatch.runs.checkpoint import load_facts
from crossmatch.runs.record import RunRecord
from crossmatch.runs.run import Run


def extend_run(run: Run, steps: int) -> tuple[Run, str]:
    """A finished run that goes on to more steps, and what that means for its schedule; run.json records both.

    Raises:
        UserError: the run is not finished, or has as many steps.
    """
    before = run.recipe.train.steps
    done = load_facts(run.checkpoint("last"))["step"] if run.checkpoint("last").is_file() else 0
    if done < before:
        raise UserError(
            f"The run {run.folder} stands at step {done} of {before}: finish it with --resume alone, then extend it."
        )
    if steps <= before:
        raise UserError(f"The run {run.folder} has done {done} steps: --steps must be more to go on.")
    train = run.recipe.train.model_copy(update={"steps": steps})
    settings = run.recipe.method.settings.extended(before, steps)
    method = run.recipe.method.model_copy(update={"settings": settings})
    recipe = run.recipe.model_copy(update={"train": train, "method": method})
    rate = recipe.learning_rate(before / steps)
    told = (
        f"from step {before} on, the run continues as one of {steps} steps: the learning rate starts again at "
        f"{rate:.3g} and falls until step {steps}; warm-ups and thresholds follow the share of {steps} steps"
    )
    if settings != run.recipe.method.settings:
        told += ". The first stage is over and does not come again"
    if recipe.early_steps > before:
        told += f". Images are small again (data.early_size) until step {recipe.early_steps}"
    record: RunRecord = {**run.record, "recipe": recipe.model_dump(mode="json")}
    record["extended"] = [*record.get("extended", []), {"before": before, "steps": steps, "schedule": told}]
    write_json(run.folder / "run.json", record)
    return Run(run.folder, recipe, record), told
