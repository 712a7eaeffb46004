"""The base of every group of settings: typed, frozen, unknown keys refused.

A group lives in the file of what it sets; `config.py` puts the groups together into a recipe.
"""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A group of settings. Wrong or unknown keys raise pydantic's ValidationError."""

    model_config = ConfigDict(extra="forbid", frozen=True)
