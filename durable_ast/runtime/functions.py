"""Compiled functions, linked: code objects bound to globals, closures and intrinsics.

The compiler gives code; here it becomes function objects that can be called, found again by the key
that a checkpoint holds, and recognised by the code object of a frame.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import logging
import opcode
import sys
import threading
from collections.abc import Collection, Container, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import CellType, CodeType, CoroutineType, FrameType, FunctionType, ModuleType
from typing import Any, TypeAlias

from ..compiler.code_objects import nested_codes, plain_qualname
from ..compiler.compile import compile_function, find_code, find_source, twin_of
from ..compiler.compiled import Compiled
from ..compiler.source import COMMAND, REWRITTEN, FunctionKey, Namespace
from ..compiler.stored import compile_stored, find_stored
from ..errors import CodeChangedError
from . import sources
from .debugging import unseen
from .intrinsics import UNBOUND

Frame: TypeAlias = "CoroutineType[Any, Any, Any]"

log = logging.getLogger("durable_ast")

_STARS = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS

intrinsics: dict[str, CellType] = {}
"""The cells of the hidden free variables, by name."""


class Function:
    """One compiled function and the globals it runs in.

    Attributes:
        compiled: the code and the facts about it.
        namespace: the globals.
        ref: its key and version as text, for checkpoints.
        plain_call: the running version and its parameters, if it has no closure and takes all of them by
            position.
        plain_live: by block, the live locals where there is nothing else to save: no cells, and no
            context managers.  Filled as blocks are met.
        is_current: whether the module's text holds it, as far as is known; else it comes from a store.
    """

    __slots__ = ("_plain", "_plain_twin", "compiled", "is_current", "namespace", "plain_call", "plain_live", "ref")

    def __init__(self, compiled: Compiled, namespace: Namespace, *, is_current: bool = True) -> None:
        self.is_current = is_current
        self.compiled = compiled
        self.namespace = namespace
        self.ref = f"{compiled.key}@{compiled.version}"
        self.plain_live: dict[int, tuple[str, ...] | None] = {}
        free = compiled.code.co_freevars
        self._plain: FunctionType | None = None
        self._plain_twin: FunctionType | None = None
        if all(name in intrinsics for name in free):
            self._plain = self._bound(compiled.code, {})
        self.plain_call: tuple[FunctionType, tuple[str, ...]] | None = None
        if self._plain is not None and not compiled.code.co_flags & _STARS and not compiled.code.co_kwonlyargcount:
            self.plain_call = self._plain, compiled.code.co_varnames[: compiled.code.co_argcount]

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

    def note_block(self, block: int) -> tuple[str, ...] | None:
        """What `plain_live` says of a block that was not met yet."""
        live = self.compiled.live[block]
        is_plain = not self.compiled.cells and not self.compiled.managers.around.get(block)
        self.plain_live[block] = live.locals if is_plain else None
        return self.plain_live[block]

    def twin(self, block: int, locals: Mapping[str, Any], cells: Mapping[str, CellType], child: Any) -> Frame:
        """A frame that goes on at point `block`, which gets what `child` gives."""
        compiled = self.compiled
        code = twin_of(compiled)
        if id(code) not in frames:
            frames[id(code)] = FrameCode(self, code, code.co_code)
        if not compiled.cells:
            function = self._plain_twin = self._plain_twin or self._bound(code, {})
        else:
            function = self._bound(code, {name: cells.get(name) or _cell(locals, name) for name in compiled.cells})
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


@dataclass(frozen=True, slots=True)
class FrameCode:
    """A code object that frames of durable functions run: a running version or a twin."""

    function: Function
    code: CodeType
    bytecode: bytes

    def is_awaiting(self, frame: FrameType) -> bool:
        """Whether a frame of this code that is not the one that runs has been left by an ``await``."""
        at = frame.f_lasti
        return self.bytecode[at - LASTI_AFTER_SEND] == SEND or self.bytecode[at] in SUSPENDED


SEND = opcode.opmap["SEND"]
SUSPENDED = opcode.opmap["YIELD_VALUE"], opcode.opmap["RESUME"]
"""Where an ``await`` stands while an error is thrown through it: the frame has not gone on."""
LASTI_AFTER_SEND = 2 if sys.version_info[:2] == (3, 12) else 0
"""How far `f_lasti` is past the instruction that awaits."""

_lock = threading.RLock()
frames: dict[int, FrameCode] = {}
"""By the id of a code object, what a frame that runs it is."""
_compiled: dict[int, tuple[Function, CodeType]] = {}
_by_ref: dict[str, Function] = {}


def function_of_frame(code: CodeType) -> Function | None:
    """The function whose running version or twin this code is."""
    found = frames.get(id(code))
    return None if found is None else found.function


def function_of(code: CodeType, namespace: Namespace) -> Function:
    """The compiled form of a user's function, compiled now if it has not been.

    Raises:
        NoSourceCodeException, UnsupportedSyntaxError: it cannot be compiled.
    """
    found = _compiled.get(id(code))
    if found is not None and found[0].namespace is namespace:
        return found[0]
    with _lock:
        compiled = found[0].compiled if found is not None else unseen(compile_function, code, namespace)
        function = Function(compiled, namespace)
        _compiled[id(code)] = function, code
        frames[id(compiled.code)] = FrameCode(function, compiled.code, compiled.code.co_code)
        _by_ref[function.ref] = function
        sources.note(compiled.source)
        return function


def key_of(ref: str) -> FunctionKey:
    """The key in a reference.

    >>> key_of("shop.orders:ship.<locals>.label#1@5f3a")
    FunctionKey(module='shop.orders', qualname='ship.<locals>.label', ordinal=1)
    """
    module, _, rest = ref.rpartition("@")[0].partition(":")
    qualname, _, ordinal = rest.partition("#")
    return FunctionKey(module, qualname, int(ordinal or 0))


finish_old: ContextVar[bool] = ContextVar("finish_old", default=True)
"""Whether a call whose position is not in the edited code goes on in the code it was started with."""


def resolve(ref: str, block: int | None = None, saved: Container[str] = ()) -> Function:
    """The function that a checkpoint names: as it is now, or as it was then.

    Args:
        ref: its key and version.
        block: where a call of it stands; None if it cannot move to an edited version.
        saved: the variables that the checkpoint has of the call.

    Raises:
        CodeChangedError: it is not there any more, or was edited, and the old text is not there
            either, or not wanted.
    """
    found = _by_ref.get(ref)
    if found is not None and found.is_current:
        return found
    key, version = key_of(ref), ref.rpartition("@")[2]
    current = as_it_is_now(key)
    if current is not None and current.compiled.version == version:
        return current
    old = as_it_was(ref)
    if old is not None and current is not None and may_move(old, current, block, saved):
        return current
    if old is None or not finish_old.get():
        raise CodeChangedError(_what_changed(key, version, old, current))
    log.info("%s goes on in the version %s that it was started with", key, version[:8])
    return old


def as_it_is_now(key: FunctionKey) -> Function | None:
    """The function of the text that is there; None if it is not there any more."""
    with contextlib.suppress(CodeChangedError):
        return function_of(*find_function_code(key))
    return None


def as_it_was(ref: str) -> Function | None:
    """The version of a function that a checkpoint names; None if nobody has its text."""
    return _by_ref.get(ref) or _stored(key_of(ref), ref.rpartition("@")[2])


def resolve_code(ref: str, names: Collection[str]) -> tuple[CodeType, Namespace]:
    """The plain code of a function that was saved as a value, and its globals.

    A function object keeps the code that it was made from.  Where that is not to be had, the edited
    one has to do, if it needs no other variables.

    Args:
        ref: its key and version.
        names: the variables that were saved with it.

    Raises:
        CodeChangedError: there is none that fits.
    """
    key, version = key_of(ref), ref.rpartition("@")[2]
    found: tuple[CodeType, Namespace] | None = None
    with contextlib.suppress(CodeChangedError):
        found = find_function_code(key)
        if find_source(*found).version == version:
            return found
    text = sources.fetched.get(version)
    old = None if text is None else find_stored(key, version, text)
    if old is not None:
        return old.plain, _module(key).__dict__
    if found is None or not {*found[0].co_freevars} <= {*names}:
        raise CodeChangedError(f"{key} is needed to go on, but it is not there any more as it was")
    return found


def may_move(old: Function, current: Function, block: int | None, saved: Container[str]) -> bool:
    """Whether a call that stands at a block, with these variables, may go on in the text that is there."""
    from ..compiler.moved import may_go_on  # rarely asked

    return block is not None and may_go_on(old.compiled, current.compiled, block, saved)


def _stored(key: FunctionKey, version: str) -> Function | None:
    """The function as it was, from the text in the store."""
    text = sources.fetched.get(version)
    compiled = None if text is None else compile_stored(key, version, text)
    if compiled is None:
        return None
    function = Function(compiled, _module(key).__dict__, is_current=False)
    frames[id(compiled.code)] = FrameCode(function, compiled.code, compiled.code.co_code)
    _by_ref[function.ref] = function
    return function


def _what_changed(key: FunctionKey, version: str, old: Function | None, current: Function | None) -> str:
    if current is None:
        return f"{key} is needed to go on, but there is no such function any more"
    new = current.compiled
    text = (
        f"{new.source.filename}:{new.source.node.lineno}: {key.qualname}() was edited since the checkpoint was written "
        f"(then version {version[:8]}, now {new.version[:8]}), and the instance stands inside of it. Run it with the "
        "code it was started with, or start it anew under another id."
    )
    if old is None:
        return text
    import difflib

    before, now = (function.compiled.source.text.splitlines() for function in (old, current))
    shown = difflib.unified_diff(before, now, f"version {version[:8]}", f"version {new.version[:8]}", lineterm="")
    return "\n".join([text, *shown])


def _module(key: FunctionKey) -> ModuleType:
    module = sys.modules.get(key.module)
    if module is None:
        try:
            module = importlib.import_module(key.module)
        except ImportError as error:
            raise CodeChangedError(f"{key} is needed to go on, but its module cannot be imported: {error}") from error
    return module


def find_function_code(key: FunctionKey) -> tuple[CodeType, Namespace]:
    """The code and globals of a function by its key; it need not have been created yet.

    Raises:
        CodeChangedError: there is none.
    """
    module = _module(key)
    namespace = module.__dict__
    if key.ordinal >= REWRITTEN:
        return _rewritten(key, namespace), namespace
    if "<locals>" not in key.qualname and not key.ordinal:
        code = _code_of(_attribute(module, key.qualname))
        if code is not None and code.co_qualname == key.qualname:
            return code, namespace
    filename = _file_of(module, key)
    code = None if filename is None else find_code(filename, namespace, key.qualname, key.ordinal)
    if code is None:
        raise CodeChangedError(f"{key} is needed to go on, but there is no such function any more")
    return code, namespace


def _file_of(module: ModuleType, key: FunctionKey) -> str | None:
    """The file that holds a function; in a notebook, the cell of the function around it."""
    if key.module != "__main__" or hasattr(module, "__file__"):
        return getattr(module, "__file__", None)
    outermost = _code_of(_attribute(module, key.qualname.partition(".<locals>")[0]))
    return COMMAND if outermost is None else outermost.co_filename


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
    if code.co_flags & inspect.CO_VARARGS:
        positional.extend(locals[names[index]])
        index += 1
    if code.co_flags & inspect.CO_VARKEYWORDS:
        keywords.update(locals[names[index]])
    return positional, keywords
