"""The base of every group of settings: typed, frozen, unknown keys refused.

A group lives in the file of what it sets; `recipes/schema.py` puts the groups together into a recipe.
"""

from pydantic import AfterValidator, BaseModel, ConfigDict


class Settings(BaseModel):
    """A group of settings. Wrong or unknown keys raise pydantic's ValidationError."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("give the lower end first")
    return ends


# Add to the annotation of a pair of numbers that values are drawn between.
LowerFirst = AfterValidator(_ordered)
