"""What a program finds around it: the variables of the functions that enclose it.

They belong to the process, as globals do, and not to the instance: the test, factory or handler that
made the program goes on using them, and they hold clients and tasks that no checkpoint could hold.
A checkpoint names them by their path through the closures (``("notify", "client")`` is the variable
``client`` of the function in the program's variable ``notify``); whoever goes on has its own.
"""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import CellType, FunctionType, MethodType
from typing import Any, TypeAlias

from ..errors import CodeChangedError
from ..state.known_classes import look_around
from ..state.snapshot import Reduced, register
from .setting import setting

Path: TypeAlias = "tuple[str, ...]"


class Environment:
    """The variables around a function, and around the functions in them.

    Args:
        function: the function.
    """

    def __init__(self, function: FunctionType) -> None:
        self.cells: dict[Path, CellType] = {}
        self._function = function
        self._paths: dict[int, Path] = {}
        self._add(function, ())

    def _add(self, function: FunctionType, path: Path) -> None:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if id(cell) in self._paths:
                continue
            here = self._paths[id(cell)] = (*path, name)
            self.cells[here] = cell
            content = _content(cell)
            if isinstance(content, (*_BY_PATH, type)):
                self._paths.setdefault(id(content), here)
            inner = function_in(content)
            if inner is not None:
                self._add(inner, here)

    def path(self, obj: Any) -> Path | None:
        """Where a cell, or the function in one, is found."""
        path = self._paths.get(id(obj))
        if path is None:
            return None
        cell = self.cells[path]
        return path if obj is cell or obj is _content(cell) else None

    def cell(self, path: Path) -> CellType:
        """The cell at a path.

        Raises:
            CodeChangedError: there is none any more.
        """
        try:
            return self.cells[path]
        except KeyError:
            raise CodeChangedError(
                f"{'.'.join(path)!r}, a variable around {self._function.__qualname__}() that the checkpoint names, is "
                "not there any more; run the instance with the code it was started with"
            ) from None


def function_in(value: Any) -> FunctionType | None:
    """The function behind methods, decorators and programs."""
    while not isinstance(value, FunctionType):
        value = value.__func__ if isinstance(value, MethodType) else value.__dict__.get("fn") if _wraps(value) else None
        if value is None:
            return None
    return value


def _wraps(value: Any) -> bool:
    return isinstance(value, _BY_PATH) and hasattr(value, "__dict__")


_BY_PATH: tuple[type, ...] = (FunctionType,)


def found_by_path(kind: type) -> None:
    """Let objects of a type be named by their path, if they are in a variable of an environment."""
    global _BY_PATH
    _BY_PATH = (*_BY_PATH, kind)
    register(kind, reduce_to_path)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # a variable without a value


_active: contextvars.ContextVar[Environment | None] = contextvars.ContextVar("durable_ast.environment", default=None)


_NOWHERE = nullcontext()


def entered(function: FunctionType) -> AbstractContextManager[None]:
    """Inside, saving and restoring are done in the environment of `function`."""
    if function.__closure__:
        return setting(_active, Environment(function))
    return _NOWHERE if _active.get() is None else setting(_active, None)


def path_of(obj: Any) -> Path | None:
    """The path of a cell or function in the environment of the instance that runs."""
    environment = _active.get()
    return None if environment is None else environment.path(obj)


def cell_at(path: Path) -> CellType:
    """The cell at a path; one without a value for those who only look."""
    environment = _active.get()
    return CellType() if environment is None else environment.cell(path)


def class_at(path: Path) -> Any:
    """What is in the cell at a path, if there is one."""
    environment = _active.get()
    cell = None if environment is None else environment.cells.get(path)
    return None if cell is None else _content(cell)


def content_at(path: Path) -> Any:
    """What is in the cell at a path."""
    environment = _active.get()
    return Outer(path) if environment is None else environment.cell(path).cell_contents


def reduce_to_path(obj: Any) -> Reduced:
    """How an object of an environment is saved; NotImplemented if it is in none."""
    path = path_of(obj)
    if path is None:
        return NotImplemented
    return (cell_at if type(obj) is CellType else content_at), (path,)


def split(cells: Mapping[str, CellType]) -> tuple[dict[str, CellType], dict[str, Path]]:
    """The cells that belong to the instance, and the paths of the others."""
    own: dict[str, CellType] = {}
    outer: dict[str, Path] = {}
    for name, cell in cells.items():
        path = path_of(cell)
        if path is None:
            own[name] = cell
        else:
            outer[name] = path
    return own, outer


look_around(path_of, class_at)


class Outer:
    """Shown where a checkpoint names what is in a variable around the program."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<{'.'.join(self.path)}, outside of the instance>"
