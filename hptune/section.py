"""What the sections of an experiment and the records of trials share: checked, frozen, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from hptune.errors import InputError
from hptune.explain import explain

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


def _no_boolean(value: Any) -> Any:
    """Refuse true where a number is wanted; Python would take it for 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _with_lists(value: Any) -> Any:
    """Return a value with lists for tuples, at any depth, as it comes back from YAML."""
    if isinstance(value, Mapping):
        return {key: _with_lists(inner) for key, inner in value.items()}
    return [_with_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


Real = Annotated[float, BeforeValidator(_no_boolean), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_no_boolean)]
Positive = Annotated[Real, Field(gt=0)]
NotNegative = Annotated[Real, Field(ge=0)]
Fraction = Annotated[Real, Field(gt=0, lt=1)]
Rate = Annotated[Real, Field(ge=0, lt=1)]
Count = Annotated[Whole, Field(ge=1)]
Size = Annotated[Whole, Field(ge=0)]
Seed = Annotated[Whole, Field(ge=0, lt=2**31)]  # scikit-learn and numpy take no larger ones
Arguments = Annotated[dict[str, Any], AfterValidator(_with_lists)]


class _ToldInOneLine(ModelMetaclass):
    """Makes sections; what is wrong with one is an `InputError`, as everywhere in hptune."""

    def __call__(self, *args: Any, **values: Any) -> Any:
        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            raise InputError(explain(error, cast("type[BaseModel]", self))) from None


class Section(BaseModel, metaclass=_ToldInOneLine):
    """Keys with values: nothing unknown, nothing changed afterwards."""

    # Reading results needs no schema: it is built when the first section is made.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, values: Any) -> Any:
        """Take a section whose keys are all commented out, which YAML reads as null."""
        return {} if values is None else values

    def change(self, **changes: Any) -> Self:
        """Return this section with some values changed, and checked."""
        return type(self)(**dict(self) | changes)

    def identity(self) -> dict[str, Any]:
        """Return the values that tell what has this section from what has another."""
        return self.model_dump()
