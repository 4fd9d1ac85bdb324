"""What stands for objects that were not rebuilt, where an instance is only looked at."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from typing import Any


class _Named(type):
    """A class that was not imported; reads like its name."""

    def __repr__(cls) -> str:
        return cls.__qualname__


class Shape(metaclass=_Named):
    """An object of a class that was not imported.

    Attributes:
        args: what it was made with.
        state: what was set on it afterwards: a dictionary of attributes, mostly.
        items: what was put into it, if it is a container.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    state: Any
    items: list[Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        shape = super().__new__(cls)
        shape.args, shape.kwargs, shape.state, shape.items = args, kwargs, None, []
        return shape

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        self.items.append(item)

    def extend(self, items: list[Any]) -> None:
        self.items.extend(items)

    add = append

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    @property
    def fields(self) -> dict[str, Any]:
        """The attributes that were set, if they are known by name."""
        states = self.state if isinstance(self.state, tuple) else (self.state,)
        found: dict[str, Any] = dict(self.kwargs)
        for state in states:
            if isinstance(state, dict):
                inner = state.get("__dict__")
                found.update(inner if isinstance(inner, dict) else state)
        return {name: value for name, value in found.items() if isinstance(name, str)}

    def __rich_repr__(self) -> Iterator[Any]:
        yield from self.args
        yield from self.fields.items()
        yield from self.items

    @reprlib.recursive_repr("...")
    def __repr__(self) -> str:
        parts = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.fields.items())]
        if self.items:
            parts.append(repr(self.items))
        if not parts and self.state is not None:
            parts.append(repr(self.state))
        return f"{type(self).__qualname__}({', '.join(parts)})"


class Text:
    """An object that is shown as a phrase, such as ``<function later>``."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text

    def __setstate__(self, state: Any) -> None:
        """What was set on it is no part of the phrase."""

    def __call__(self, *args: Any) -> Any:
        return Text("object", f"{self.text}({', '.join(map(repr, args))})")

    def __repr__(self) -> str:
        return self.text


def shape_class(module: str, name: str) -> type[Shape]:
    """The class that stands for one that was not imported."""
    kind: Any = _Named(name.rpartition(".")[2], (Shape,), {"__module__": module, "__qualname__": name})
    made: type[Shape] = kind
    return made
