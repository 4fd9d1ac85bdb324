"""The arguments of a run, as they are stored with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic_ai.models import Model

from ..state.digest import digest

_OBSERVERS = ("cancellation_token", "usage")
"""What the caller wants to have of a run: it makes no other run of it."""
_MACHINERY = ("toolsets", "capabilities", "workspace", "spec")


@dataclass(frozen=True, slots=True)
class _InProcess:
    """An argument that cannot leave its process, such as a toolset with its connections."""

    value: Any

    def __digested__(self) -> Any:
        """What is the same of it in every process, which may be no more than what it is called."""
        items = self.value if isinstance(self.value, (list, tuple)) else [self.value]
        return [digest(item) or _names_of(item) for item in items]

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self.value).__qualname__} cannot leave its process")


def _names_of(item: Any) -> tuple[str, ...]:
    known = (getattr(item, name, None) for name in ("id", "model_name"))
    return (type(item).__qualname__, *(name for name in known if isinstance(name, str)))


class AgentCall:
    """The arguments of a run.

    A run whose arguments cannot be stored is not started anew by other processes, but it goes on
    when it is called with them again.

    Attributes:
        prompt: what the agent is asked.
        deps: what its tools are given.
        options: further arguments of `Agent.run`; those that are None are left out.
    """

    def __init__(self, prompt: Any, deps: Any, options: Mapping[str, Any]) -> None:
        self.prompt = prompt
        self.deps = deps
        given = {name: value for name, value in options.items() if value is not None}
        self._observers = {name: value for name, value in given.items() if name in _OBSERVERS}
        self.options = {
            name: _InProcess(value) if name in _MACHINERY or isinstance(value, Model) else value
            for name, value in given.items()
            if name not in _OBSERVERS
        }

    def arguments(self) -> dict[str, Any]:
        """The arguments that `Agent.run` takes by name."""
        options = {
            name: value.value if isinstance(value, _InProcess) else value for name, value in self.options.items()
        }
        given = {**options, **self._observers}
        return given if self.deps is None else {"deps": self.deps, **given}

    def __digested__(self) -> Any:
        """What makes it another run: dependencies change while they are used, and so may the rest."""
        return self.prompt

    def __reduce__(self) -> Any:
        return AgentCall, (self.prompt, self.deps, self.options)
