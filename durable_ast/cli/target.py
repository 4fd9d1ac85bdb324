"""``module:function``: the program that a command names."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from ..runtime.program import DurableProgram, make_durable
from ..workflow.functions import WorkflowFunction
from .failures import ExitCode, Failure


def program(target: str) -> DurableProgram[..., Any]:
    """The program that a target names; a plain async function is made durable.

    Args:
        target: ``module:function``, or ``path/to/file.py:function``.

    Raises:
        Failure: there is none.
    """
    return program_of(resolved(target), target)


def program_of(found: Any, target: str) -> DurableProgram[..., Any]:
    """The program that an object is, or is made to be."""
    if isinstance(found, WorkflowFunction):
        found = found.program
    if isinstance(found, DurableProgram):
        return found
    if not inspect.iscoroutinefunction(found):
        raise Failure(f"{target} is {_kind(found)}, not an async function", code=ExitCode.USAGE)
    return make_durable(found)


def resolved(target: str) -> Any:
    """The object that a target names; its module is imported, from the current directory too."""
    module, colon, qualname = target.rpartition(":")
    if not colon or not module or not qualname:
        raise Failure(f"{target!r} names no function", "write module:function", ExitCode.USAGE)
    found: Any = imported(module)
    for part in qualname.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Failure(f"{module} has no {qualname}", _choices(found), ExitCode.USAGE) from None
    return found


def imported(name: str) -> Any:
    """The module of that name, or of that file; it is looked for in the current directory too.

    Raises:
        Failure: there is none, or it cannot be imported.
    """
    folder = Path.cwd()
    if name.endswith(".py"):
        file = Path(name)
        folder, name = file.parent.absolute(), file.stem
    use_folder(folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise Failure(
                f"there is no module {name} in {folder}", "run in the folder of the program", ExitCode.USAGE
            ) from None
        raise Failure(f"importing {name} failed: {error}{_place(error)}") from error
    except Exception as error:
        raise Failure(f"importing {name} failed: {type(error).__name__}: {error}{_place(error)}") from error


def use_folder(folder: Path) -> None:
    """Let modules of a folder be imported, as ``python file.py`` does for its own."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _place(error: BaseException) -> str:
    """The user's line that raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if os.path.exists(frame.filename)]
    own = [frame for frame in frames if Path(importlib.__file__).parent not in Path(frame.filename).parents]
    own = [frame for frame in own if Path(frame.filename) != Path(__file__)]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""


def _choices(owner: Any) -> str:
    """The functions that could have been meant."""
    names = [
        name
        for name, value in vars(owner).items()
        if isinstance(value, (DurableProgram, WorkflowFunction))
        or (inspect.iscoroutinefunction(value) and getattr(value, "__module__", None) == owner.__name__)
    ]
    return f"it has {', '.join(names)}" if names else ""


def _kind(found: Any) -> str:
    return "an async generator function" if inspect.isasyncgenfunction(found) else f"a {type(found).__name__}"
