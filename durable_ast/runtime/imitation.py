"""Objects that stand in for an async function, and are taken for one."""

from __future__ import annotations

import functools
import inspect
import sys
from types import FunctionType
from typing import Any


def wrap(obj: Any, function: Any) -> None:
    """Give an object the name, documentation and annotations of what it stands for."""
    functools.update_wrapper(obj, function)
    if sys.version_info >= (3, 14) and hasattr(function, "__annotate__"):
        try:
            found = function.__annotations__
        except NameError:  # what is not known yet is found by who asks
            import annotationlib

            found = annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
        obj.__annotations__ = found  # or those of the object's own class would be found


def imitate(obj: Any, function: FunctionType) -> None:
    """Give an object the name, documentation and signature of an async function, and make
    `inspect.iscoroutinefunction` see one."""
    wrap(obj, function)
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
