"""One object graph as bytes, and back.

Whatever an instance holds is pickled by one pickler, so what was one object is one object again.
The C pickler does the work; it asks `reducer_override` only about objects that are no plain data.

This module knows how to save Python objects in general: cells, modules, bound methods, local
classes, singletons.  What only the runtime understands (functions and frames by their source,
branches, resources) it registers with `register`.
"""

from __future__ import annotations

import builtins
import copyreg
import functools
import gc
import importlib
import io
import itertools
import pickle
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, TypeAlias

from ..errors import CorruptStateError
from .delta import LARGE
from .pieces import MARK as PIECES
from .pieces import Lists, Pieces, pickle_of
from .unframed import unframed

Reduced: TypeAlias = Any
"""A tuple or string as `object.__reduce_ex__` may give, or NotImplemented."""
Reducer: TypeAlias = Callable[[Any], Reduced]
Reader: TypeAlias = Callable[[io.BytesIO], pickle.Unpickler]
"""What reads a pickle; another than pickle's own may decide what becomes of the names in it."""

PROTOCOL = 5


def dumps(graph: Any) -> bytes:
    """Save an object graph.

    Raises:
        Exception: whatever an object in the graph raises that cannot be saved.

    >>> shared = [1]
    >>> one, two = loads(dumps((shared, shared)))
    >>> one is two
    True
    """
    try:
        file, pickler = _idle.pop()
    except IndexError:
        file = io.BytesIO()
        pickler = _Pickler(file, PROTOCOL)
        pickler.memo = _KNOWN
    pickler.dump(graph)  # should it fail, this pickler is not used again
    data = file.getvalue()
    pickler.memo = _KNOWN
    file.seek(0)
    file.truncate()
    _idle.append((file, pickler))
    return sealed(*_body(memoryview(data)))


def dumps_in_pieces(graph: Any, candidates: Iterable[Any], lists: Lists) -> bytes | Pieces:
    """Save an object graph like `dumps`; large flat lists among the candidates, which may be anywhere
    in the graph, are pickled only where they have changed.

    Args:
        graph: the graph.
        candidates: objects that may be such lists.
        lists: those that were found last time.
    """
    noted = lists.noted(candidates)
    if not noted:
        return dumps(graph)
    file = io.BytesIO()
    pickler = _Pickler(file, PROTOCOL)
    memo = _KNOWN.copy()
    memo.update((id(obj), (index, obj)) for index, obj in enumerate(noted, len(memo)))
    pickler.memo = memo
    pickler.dump(graph)
    return lists.state(b"".join(_body(file.getbuffer())))


def failure(value: Any) -> Exception | None:
    """Why a value cannot be saved; None if it can."""
    try:
        dumps(value)
    except Exception as error:
        return error
    return None


def loads(data: bytes) -> Any:
    """Rebuild what `dumps` has saved.

    Never call this on bytes that others may have written: see the page on security.
    """
    return pickle.loads(_as_pickle(data))


def dumps_with_cells(graph: Any, spare: Mapping[Any, CellType]) -> bytes:
    """Save an object graph, and those of the `spare` cells that it reaches by itself."""
    file = io.BytesIO()
    pickler = _CellPickler(file)
    pickler.dump(graph)
    pickler.dump({name: cell for name, cell in spare.items() if id(cell) in pickler.cells})
    return sealed(*_body(file.getbuffer()))


def loads_with_cells(data: bytes, reader: Reader = pickle.Unpickler) -> tuple[Any, dict[Any, CellType]]:
    """Rebuild what `dumps_with_cells`, or `dumps`, has saved: the graph and the spare cells it reaches."""
    file = io.BytesIO(_as_pickle(data))
    unpickler = reader(file)
    graph = unpickler.load()
    return graph, unpickler.load() if file.tell() < len(file.getbuffer()) else {}


def dumps_and_note(
    graph: Any,
    spare: Mapping[Any, CellType],
    persistent_id: Callable[[Any], Any] | None,
    is_wanted: Callable[[CellType], bool] = lambda cell: False,
) -> tuple[bytes, dict[int, Any]]:
    """Save an object graph like `dumps_with_cells`; gives also the objects in it that can change, by
    id.

    Args:
        graph: the graph.
        spare: cells that are saved if the graph reaches them by itself.
        persistent_id: as in `pickle.Pickler`, for objects that are no part of the graph.
        is_wanted: tells which spare cells are saved in any case.
    """
    file = io.BytesIO()
    pickler = _CellPickler(file) if persistent_id is None else _NamingCellPickler(file, persistent_id)
    pickler.dump(graph)
    if spare:
        reached = {n: cell for n, cell in spare.items() if id(cell) in pickler.cells or is_wanted(cell)}
        pickler.dump(reached)
    return sealed(*_body(file.getbuffer())), noted(pickler)


def noted(pickler: pickle.Pickler) -> dict[int, Any]:
    """The objects that a pickler has saved and that can change, by id."""
    memo: dict[int, tuple[int, Any]] = pickler.memo.copy()
    return {key: obj for key, (_, obj) in memo.items() if type(obj) not in _UNCHANGING}


_UNCHANGING: frozenset[type] = frozenset(
    {
        str, bytes, int, float, complex, bool, type(None), tuple, frozenset, range, slice,
        FunctionType, BuiltinFunctionType, MethodType, ModuleType,
    }
)  # fmt: skip
"""Types whose objects may be saved twice, and be two afterwards: they never change."""


def is_global(obj: Any) -> bool:
    """Whether an object is saved as a name, so that every snapshot means the same one."""
    try:
        if isinstance(obj, (type, Enum)):
            cls = obj if isinstance(obj, type) else type(obj)
            return not cls.__flags__ & IS_ON_THE_HEAP or importable(cls)
        return isinstance(reduce(obj), str)
    except Exception:
        return False


IS_ON_THE_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE
"""The flag of a class that was not compiled into CPython."""


def pickler(
    file: io.BytesIO, persistent_id: Callable[[Any], Any], divide: Callable[[Any], Reduced] | None = None
) -> pickle.Pickler:
    """A pickler for several graphs that share objects, and for objects that are part of none.

    Args:
        file: where to write.
        persistent_id: as in `pickle.Pickler`.
        divide: how some objects are taken apart in this graph only; NotImplemented for all others.
    """
    return _PersistentPickler(file, persistent_id) if divide is None else _DividingPickler(file, persistent_id, divide)


def unpickler(file: io.BytesIO, persistent_load: Callable[[Any], Any]) -> pickle.Unpickler:
    """The counterpart of `pickler`."""
    return _PersistentUnpickler(file, persistent_load)


def register(kind: type, reducer: Reducer, *, subclasses: bool = False) -> None:
    """Save objects of a type in a way of their own.

    Args:
        kind: the type.
        reducer: gives what `object.__reduce_ex__` may give, or NotImplemented to leave it to pickle.
        subclasses: whether it holds for the subclasses as well, as far as none is registered nearer.
    """
    (_families if subclasses else _exact)[kind] = reducer
    _known.clear()


def register_by_name(module: str, qualname: str, reducer: Reducer) -> None:
    """The same for a type that may never be imported, and its subclasses."""
    _named[module, qualname] = reducer


def register_for(choose: Callable[[type], Reducer | None]) -> None:
    """The same for types that are known by what they are like: `choose` is asked last, once for each."""
    _choices.append(choose)
    _known.clear()


def reduce(obj: Any) -> Reduced:
    """How an object is taken apart to be saved."""
    reducer = _known[type(obj)] if type(obj) in _known else _find(type(obj))
    reduced: Any = NotImplemented if reducer is None else reducer(obj)
    if reduced is not NotImplemented:
        return reduced
    registered = copyreg.dispatch_table.get(type(obj))
    result: Reduced = registered(obj) if registered is not None else obj.__reduce_ex__(PROTOCOL)
    return result


_exact: dict[type, Reducer] = {}
_families: dict[type, Reducer] = {}
_named: dict[tuple[str, str], Reducer] = {}
_choices: list[Callable[[type], Reducer | None]] = []
_known: dict[type, Reducer | None] = {}
"""The reducer of each type that was met; None leaves it to pickle."""


def _find(kind: type) -> Reducer | None:
    reducer = _exact.get(kind)
    if reducer is None:
        near = (_families.get(base) or _named.get((base.__module__, base.__qualname__)) for base in kind.__mro__)
        chosen = (choose(kind) for choose in _choices)
        reducer = next((found for found in itertools.chain(near, chosen) if found is not None), None)
    _known[kind] = reducer
    return reducer


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        try:
            reducer = _known[kind]
        except KeyError:
            reducer = _find(kind)
        return NotImplemented if reducer is None else reducer(obj)


_idle: list[tuple[io.BytesIO, _Pickler]] = []
"""Picklers to use again, with their files: making one costs as much as a small checkpoint."""

# Finding a global by its name is the slowest thing that pickle does, and every `for` loop brings some.
# These are as if pickled already: a snapshot starts with them in the memo, and loading it starts with
# opcodes that put those there which it uses.  The list belongs to the format, of which _MARK is the version.
_MARK = b"\x01"
_CHECKSUM = 4
_GLOBALS = (
    "iter",
    "range",
    "reversed",
    "enumerate",
    "zip",
    "map",
    "filter",
    "getattr",
    "set",
    "frozenset",
    "bytearray",
)
_USES = re.compile(b"h([\x00-%c])" % (len(_GLOBALS) - 1))
"""The opcode that takes one of them from the memo, or what looks like it."""


def _memo_of_known() -> Any:
    pickler = _Pickler(io.BytesIO(), PROTOCOL)
    known = [getattr(builtins, name) for name in _GLOBALS]
    pickler.memo = {id(obj): (index, obj) for index, obj in enumerate(known)}
    return pickler.memo


_KNOWN = _memo_of_known()


def sealed(*parts: bytes | memoryview) -> bytes:
    """Some bytes, in parts, with the checksum that tells whether they are all there."""
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return b"".join((_MARK, checksum.to_bytes(_CHECKSUM, "big"), *parts))


def _body(pickles: memoryview) -> list[memoryview]:
    """What is kept of pickles: not their first opcode, and no frames where many would move."""
    return [pickles[2:]] if len(pickles) < LARGE else unframed(pickles[2:])


def _as_pickle(data: bytes) -> bytes:
    if data.startswith(PIECES):
        return _EVERY_GLOBAL + pickle_of(data)
    body = opened(data)
    return (_preamble(frozenset(_USES.findall(body))) if len(body) < LARGE else _EVERY_GLOBAL) + body


@functools.lru_cache
def _preamble(used: frozenset[bytes]) -> bytes:
    """The opcodes that a snapshot begins with which uses the globals of these places."""
    puts = (_put_global(name) if bytes([place]) in used else _PUT_NONE for place, name in enumerate(_GLOBALS))
    return b"\x80\x05" + b"".join(puts)


def _put_global(name: str) -> bytes:
    """The opcodes that put a global into the memo, and leave nothing on the stack."""
    return b"cbuiltins\n" + name.encode() + b"\n\x940"


_PUT_NONE = b"N\x940"
_EVERY_GLOBAL = _preamble(frozenset(bytes([place]) for place in range(len(_GLOBALS))))


def opened(data: bytes) -> memoryview:
    """What `sealed` was given.

    Raises:
        CorruptStateError: it is damaged, or no snapshot.
    """
    start = len(_MARK) + _CHECKSUM
    if data[: len(_MARK)] != _MARK:
        raise CorruptStateError(f"this is no snapshot of durable-ast: it starts with {data[:8]!r}")
    body = memoryview(data)[start:]
    if zlib.crc32(body).to_bytes(_CHECKSUM, "big") != data[len(_MARK) : start]:
        raise CorruptStateError(f"a snapshot is damaged: its {len(data)} bytes do not match their checksum")
    return body


class _CellPickler(_Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, PROTOCOL)
        self.memo = _KNOWN
        self.cells: set[int] = set()
        """The ids of the cells that were saved."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is CellType:
            self.cells.add(id(obj))
        return super().reducer_override(obj)


class _NamingCellPickler(_CellPickler):
    def __init__(self, file: io.BytesIO, persistent_id: Callable[[Any], Any]) -> None:
        super().__init__(file)
        self._name = persistent_id

    def persistent_id(self, obj: Any) -> Any:
        return self._name(obj)


class _PersistentPickler(_Pickler):
    def __init__(self, file: io.BytesIO, persistent_id: Callable[[Any], Any]) -> None:
        super().__init__(file, PROTOCOL)
        self._name = persistent_id

    def persistent_id(self, obj: Any) -> Any:
        return self._name(obj)


class _DividingPickler(_PersistentPickler):
    def __init__(self, file: io.BytesIO, persistent_id: Callable[[Any], Any], divide: Callable[[Any], Reduced]) -> None:
        super().__init__(file, persistent_id)
        self._divide = divide

    def reducer_override(self, obj: Any) -> Any:
        divided = self._divide(obj)
        return super().reducer_override(obj) if divided is NotImplemented else divided


class _PersistentUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, persistent_load: Callable[[Any], Any]) -> None:
        super().__init__(file)
        self._load = persistent_load

    def persistent_load(self, pid: Any) -> Any:
        return self._load(pid)


# cells


def _empty_cell() -> CellType:
    return CellType()


def _fill_cell(cell: CellType, contents: tuple[Any]) -> None:
    cell.cell_contents = contents[0]


def reduce_cell(cell: CellType) -> Reduced:
    """A cell, saved with what is in it."""
    try:
        contents = (cell.cell_contents,)
    except ValueError:
        return _empty_cell, ()
    return _empty_cell, (), contents, None, None, _fill_cell


# methods, code


def _reduce_method(method: MethodType) -> Reduced:
    """A method is found by its name, unless the name leads to another one (``super().name``), or to
    none yet: a class that is made again may hold methods of its own."""
    function, owner = method.__func__, method.__self__
    name = getattr(function, "__name__", None)
    if not importable(owner if isinstance(owner, type) else type(owner)):
        return MethodType, (function, owner)
    found = getattr(owner, name, None) if isinstance(name, str) else None
    if getattr(found, "__func__", None) is function:
        return getattr, (owner, name)
    return MethodType, (function, owner)


def _reduce_code(code: CodeType) -> Reduced:
    raise TypeError(f"cannot save the code object {code.co_qualname}: bytecode is bound to one Python version")


# singletons


def global_object(module: str, name: str) -> Any:
    """What a module holds under a name."""
    return getattr(importlib.import_module(module), name)


def place_of(obj: Any) -> tuple[str, str] | None:
    """The module that holds an object as a global, and its name there; None if none does."""
    known = _found_at.get(id(obj))
    if known is not None and getattr(sys.modules.get(known[0]), known[1], None) is obj:
        return known
    for module_name, module in list(sys.modules.items()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is obj:
                _found_at[id(obj)] = module_name, name
                return module_name, name
    return None


_found_at: dict[int, tuple[str, str]] = {}
"""Where objects were found by `place_of`, by id: to look through all modules takes long."""


def _reduce_object(obj: Any) -> Reduced:
    """A bare ``object()`` is there for its identity; it is worth most as a module's attribute."""
    place = place_of(obj)
    return (object, ()) if place is None else (global_object, place)


# what can be found again


def importable(obj: Any) -> bool:
    """Whether a class or function is what its module has under its name."""
    found: Any = sys.modules.get(obj.__module__ or "")
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


# views


def _reduce_proxy(proxy: MappingProxyType[Any, Any]) -> Reduced:
    """A view of a mapping goes on showing that one."""
    return MappingProxyType, (gc.get_referents(proxy)[0],)


def _reduce_view(view: Any) -> Reduced:
    return _view, (gc.get_referents(view)[0], type(view).__name__.removeprefix("dict_"))


def _view(mapping: dict[Any, Any], name: str) -> Any:
    return getattr(dict, name)(mapping)


def _reduce_wrapped(method: classmethod[Any, Any, Any] | staticmethod[Any, Any]) -> Reduced:
    return type(method), (method.__func__,), vars(method) or None


def _reduce_property(found: property) -> Reduced:
    return property, (found.fget, found.fset, found.fdel, found.__doc__)


register(CellType, reduce_cell)
register(MethodType, _reduce_method)
register(CodeType, _reduce_code)
register(object, _reduce_object)
register(MappingProxyType, _reduce_proxy)
register(classmethod, _reduce_wrapped)
register(staticmethod, _reduce_wrapped)
register(property, _reduce_property)
for _kind in map(type, ({}.keys(), {}.values(), {}.items())):
    register(_kind, _reduce_view)
