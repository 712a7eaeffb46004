"""What every group of settings is made of: the base class, and types of numbers within a range.

A group lives in the file of what it sets. `recipes/schema.py` puts the groups together into a recipe.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]  # a probability, or a share of a whole
BelowOne = Annotated[float, Field(ge=0, lt=1)]  # a dropout rate, or the decay of a moving average


class Settings(BaseModel):
    """A group of settings: frozen. Wrong or unknown keys, infinite numbers and NaN raise pydantic's ValidationError.

    A string below each setting says what it means. The documentation's page of settings is made from these strings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic would take true for 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (int, float):
            raise ValueError("give a number, not true or false")
        return value


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("give the lower end first")
    return ends


# Add to the annotation of a pair of numbers that values are drawn between.
LowerFirst = AfterValidator(_ordered)
