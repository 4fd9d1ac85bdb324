"""Which code is the user's own, and what is done with it where it is awaited."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from types import CodeType
from typing import Any, TypeAlias

from ..compiler.source import Namespace
from ..errors import DurableError
from .functions import Function, function_of

log = logging.getLogger("durable_ast")

Plan: TypeAlias = Callable[[Any, Any], Any]
"""What to await instead: called with the branch and what was to be awaited."""


class Plans(dict[int, Plan]):
    """The decisions for one idea of what is the user's own, by the id of a code object.

    Args:
        packages: the top-level packages whose functions become frames.
        known: decisions that hold everywhere.
    """

    def __init__(self, packages: frozenset[str], known: dict[int, Plan]) -> None:
        super().__init__(known)
        self._packages = packages
        self._known = known
        self._codes: list[CodeType] = []

    @functools.cached_property
    def concurrent(self) -> Plans:
        """The same for instances with several branches: nothing is awaited there unseen."""
        return Plans(self._packages, self._known)

    def remember(self, code: CodeType, plan: Plan) -> None:
        """Decide for a code object."""
        self._codes.append(code)  # an id is only good for as long as its object lives
        self[id(code)] = plan

    def function(self, code: CodeType, namespace: Namespace) -> Function | None:
        """The compiled form of a function of the user's own; None if it is not, or cannot be compiled."""
        package = str(namespace.get("__name__", "")).partition(".")[0]
        if package not in self._packages:
            return None
        try:
            return function_of(code, namespace)
        except DurableError as error:
            log.warning("%s runs as one step: %s", code.co_qualname, error)
            return None
