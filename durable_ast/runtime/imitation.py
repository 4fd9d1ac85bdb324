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
    # what inspect looks at before Python 3.12, and since
    obj.__code__, obj.__globals__ = function.__code__, function.__globals__
    obj.__defaults__, obj.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(obj)
