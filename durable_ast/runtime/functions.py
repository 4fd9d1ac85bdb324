"""Compiled functions, linked: code objects bound to globals, closures and intrinsics.

The compiler gives code; here it becomes function objects that can be called, found again by the key
that a checkpoint holds, and recognised by the code object of a frame.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping
from types import CellType, CodeType, CoroutineType, FunctionType
from typing import Any, TypeAlias

from ..compiler.assemble import nested_codes
from ..compiler.compiled import Compiled, compile_function
from ..compiler.source import REWRITTEN, FunctionKey, Namespace, find_code, plain_qualname
from ..errors import CodeChangedError
from .intrinsics import UNBOUND

Frame: TypeAlias = "CoroutineType[Any, Any, Any]"

intrinsics: dict[str, CellType] = {}
"""The cells of the hidden free variables, by name."""


class Function:
    """One compiled function and the globals it runs in."""

    __slots__ = ("_plain", "compiled", "namespace")

    def __init__(self, compiled: Compiled, namespace: Namespace) -> None:
        self.compiled = compiled
        self.namespace = namespace
        free = compiled.code.co_freevars
        self._plain: FunctionType | None = None
        if all(name in intrinsics for name in free):
            self._plain = self._bound(compiled.code, {})

    @property
    def key(self) -> FunctionKey:
        return self.compiled.key

    def running(self, function: FunctionType | None) -> FunctionType:
        """The running version as a function; `function` brings the closure, if there is one."""
        if self._plain is not None:
            return self._plain
        assert function is not None
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        return self._bound(self.compiled.code, cells)

    def with_cells(self, cells: Mapping[str, CellType]) -> FunctionType:
        """The running version with these cells."""
        return self._plain or self._bound(self.compiled.code, cells)

    def twin(self, block: int, locals: Mapping[str, Any], cells: Mapping[str, CellType], child: Any) -> Frame:
        """A frame that goes on at point `block`, which gets what `child` gives."""
        compiled = self.compiled
        code = compiled.twin
        _frames.setdefault(id(code), (self, code))
        own = {name: cells.get(name) or _cell(locals, name) for name in compiled.cells}
        function = self._bound(code, own)
        values = [locals[name] if name in locals else _content(cells, name) for name in compiled.locals]
        frame: Frame = function(*values, block, child)
        return frame

    def _bound(self, code: CodeType, cells: Mapping[str, CellType]) -> FunctionType:
        closure = tuple(intrinsics[name] if name in intrinsics else cells[name] for name in code.co_freevars)
        return FunctionType(code, self.namespace, code.co_name, None, closure)


def _cell(locals: Mapping[str, Any], name: str) -> CellType:
    """A variable that was no cell where it was saved; another Python may see that differently."""
    return CellType(locals[name]) if name in locals else CellType()


def _content(cells: Mapping[str, CellType], name: str) -> Any:
    try:
        return cells[name].cell_contents
    except (KeyError, ValueError):
        return UNBOUND


_lock = threading.RLock()
_frames: dict[int, tuple[Function, CodeType]] = {}
_compiled: dict[int, tuple[Function, CodeType]] = {}
_by_key: dict[tuple[FunctionKey, str], Function] = {}


def function_of_frame(code: CodeType) -> Function | None:
    """The function whose running version or twin this code is."""
    found = _frames.get(id(code))
    return None if found is None else found[0]


def function_of(code: CodeType, namespace: Namespace) -> Function:
    """The compiled form of a user's function, compiled now if it has not been.

    Raises:
        NoSourceCodeException, UnsupportedSyntaxError: it cannot be compiled.
    """
    found = _compiled.get(id(code))
    if found is not None and found[0].namespace is namespace:
        return found[0]
    with _lock:
        compiled = found[0].compiled if found is not None else compile_function(code, namespace)
        function = Function(compiled, namespace)
        _compiled[id(code)] = function, code
        _frames[id(compiled.code)] = function, compiled.code
        _by_key[compiled.key, compiled.version] = function
        return function


def resolve(key: FunctionKey, version: str) -> Function:
    """The function that a checkpoint names.

    Raises:
        CodeChangedError: it is not there any more, or has been edited.
    """
    found = _by_key.get((key, version))
    if found is not None:
        return found
    code, namespace = find_function_code(key)
    function = function_of(code, namespace)
    if function.compiled.version != version:
        raise CodeChangedError(
            f"{key} was edited since the checkpoint was written (then version {version[:8]}, now "
            f"{function.compiled.version[:8]}), and the instance stands inside of it. Run it with the code it was "
            "started with, or start it anew under another id."
        )
    return function


def find_function_code(key: FunctionKey) -> tuple[CodeType, Namespace]:
    """The code and globals of a function by its key; it need not have been created yet.

    Raises:
        CodeChangedError: there is none.
    """
    module = sys.modules.get(key.module)
    if module is None:
        try:
            module = importlib.import_module(key.module)
        except ImportError as error:
            raise CodeChangedError(f"{key} is needed to go on, but its module cannot be imported: {error}") from error
    namespace = module.__dict__
    if key.ordinal >= REWRITTEN:
        return _rewritten(key, namespace), namespace
    if "<locals>" not in key.qualname and not key.ordinal:
        code = _code_of(_attribute(module, key.qualname))
        if code is not None and code.co_qualname == key.qualname:
            return code, namespace
    filename = getattr(module, "__file__", None)
    code = None if filename is None else find_code(filename, namespace, key.qualname, key.ordinal)
    if code is None:
        raise CodeChangedError(f"{key} is needed to go on, but there is no such function any more")
    return code, namespace


def _rewritten(key: FunctionKey, namespace: Namespace) -> CodeType:
    """The code of a comprehension that became a generator expression: it is part of the compiled
    form of the function around it."""
    around = key.qualname.rpartition(".<locals>.")[0]
    for ordinal in range(REWRITTEN):
        code, _ = find_function_code(FunctionKey(key.module, around, ordinal))
        for nested in nested_codes(function_of(code, namespace).compiled.code):
            if plain_qualname(nested) == key.qualname and function_of(nested, namespace).key == key:
                return nested
    raise CodeChangedError(f"{key} is needed to go on, but there is no such function any more")


def _attribute(owner: Any, qualname: str) -> Any:
    for part in qualname.split("."):
        owner = getattr(owner, part, None)
    return owner


def _code_of(obj: Any) -> CodeType | None:
    """The code of the innermost function behind decorators and methods."""
    while True:
        inner = getattr(obj, "__wrapped__", None) or getattr(obj, "__func__", None) or getattr(obj, "fn", None)
        if inner is None:
            break
        obj = inner
    code = getattr(obj, "__code__", None)
    return code if isinstance(code, CodeType) else None


def arguments(code: CodeType, locals: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """How to call a function so that its parameters have these values."""
    count, keyword_only = code.co_argcount, code.co_kwonlyargcount
    names = code.co_varnames
    positional = [locals[name] for name in names[:count]]
    keywords = {name: locals[name] for name in names[count : count + keyword_only]}
    index = count + keyword_only
    if code.co_flags & 0x04:
        positional.extend(locals[names[index]])
        index += 1
    if code.co_flags & 0x08:
        keywords.update(locals[names[index]])
    return positional, keywords
