"""What a branch that is in the middle of a step does when it goes on elsewhere: the step, once more.

A step is atomic, so what was under way is not saved, only how to begin it again: the coroutine's
function with the arguments it was called with, or the object that was awaited (a task, a future),
which the snapshot restores for what it means.
"""

from __future__ import annotations

from types import CoroutineType, GeneratorType
from typing import Any, TypeAlias

from .call_stack import Waiting
from .functions import arguments
from .generators import closure_of, is_started

Recipe: TypeAlias = Waiting


def recipe_of(awaitable: Any) -> Recipe:
    """How to begin anew what is about to be awaited; a coroutine has not started yet."""
    if type(awaitable) is CoroutineType:
        code, frame = awaitable.cr_code, awaitable.cr_frame
    elif type(awaitable) is GeneratorType:  # made by `types.coroutine`; asyncio has some, too
        code, frame = awaitable.gi_code, awaitable.gi_frame
    else:
        return "await", awaitable
    if frame is None or is_started(awaitable):
        return "await", awaitable
    try:
        function = closure_of(awaitable)
    except TypeError:
        return "await", awaitable
    positional, keywords = arguments(code, frame.f_locals)
    return "again", function, positional, keywords


def begun(recipe: Recipe) -> Any:
    """What to await, from a recipe."""
    if recipe[0] == "await":
        return recipe[1]
    _, function, positional, keywords = recipe
    return function(*positional, **keywords)
