"""Classes of libraries that may not be installed."""

from typing import Any, Generic, TypeVar

import attrs
import pydantic

Item = TypeVar("Item")


class Box(pydantic.BaseModel, Generic[Item]):
    item: Item
    _hidden: list[object] = pydantic.PrivateAttr(default_factory=list)
    model_config = pydantic.ConfigDict(extra="allow")


class Frozen(pydantic.BaseModel, frozen=True):
    item: int


@attrs.define
class Defined:
    a: int
    b: list[Any] = attrs.field(factory=list, repr=False, eq=False)
