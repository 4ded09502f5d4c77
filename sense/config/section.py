"""What a section of params.yaml is made of."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _variable_name(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*", value):
        return value
    raise PydanticCustomError("hidden", "give the NAME of the environment variable that holds it, never what it holds")


# An environment variable's name. A value given by mistake may be the secret itself: no message repeats it.
VariableName = Annotated[str, BeforeValidator(_variable_name)]


class Section(BaseModel):
    """A part of params.yaml: frozen, an unknown key is an error, and the text under each field is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
