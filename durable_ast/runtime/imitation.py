"""Objects that stand in for an async function, and are taken for one."""

from __future__ import annotations

import functools
import inspect
import sys
from types import FunctionType
from typing import Any


def imitate(obj: Any, function: FunctionType) -> None:
    """Give an object the name, documentation and signature of an async function, and make
    `inspect.iscoroutinefunction` see one."""
    functools.update_wrapper(obj, function)
    vars(obj).pop("__signature__", None)  # see `Signature`
    # what inspect looks at before Python 3.12, and since
    obj.__code__, obj.__globals__ = function.__code__, function.__globals__
    obj.__defaults__, obj.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(obj)


class Signature:
    """``__signature__`` of objects that stand in for what is in their ``fn``: bound and partial ones take
    fewer arguments than the function that they imitate."""

    def __get__(self, obj: Any, cls: type | None = None) -> inspect.Signature | None:
        return None if obj is None else inspect.signature(obj.fn)
