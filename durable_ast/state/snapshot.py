"""One object graph as bytes, and back.

Whatever an instance holds is pickled by one pickler, so what was one object is one object again.
The C pickler does the work; it asks `reducer_override` only about objects that are no plain data.

This module knows how to save Python objects in general: cells, modules, bound methods, local
classes, singletons.  What only the runtime understands (functions and frames by their source,
branches, resources) it registers with `register`.
"""

from __future__ import annotations

import copyreg
import importlib
import io
import pickle
import sys
from collections.abc import Callable, Mapping
from types import CellType, CodeType, MappingProxyType, MethodType, ModuleType
from typing import Any, TypeAlias

Reduced: TypeAlias = Any
"""A tuple or string as `object.__reduce_ex__` may give, or NotImplemented."""
Reducer: TypeAlias = Callable[[Any], Reduced]

PROTOCOL = 5


def dumps(graph: Any) -> bytes:
    """Pickle an object graph.

    Raises:
        Exception: whatever an object in the graph raises that cannot be saved.

    >>> shared = [1]
    >>> one, two = loads(dumps((shared, shared)))
    >>> one is two
    True
    """
    file = io.BytesIO()
    _Pickler(file, PROTOCOL).dump(graph)
    return file.getvalue()


def loads(data: bytes) -> Any:
    """Rebuild what `dumps` has saved.

    Never call this on bytes that others may have written: see the page on security.
    """
    return pickle.loads(data)


def dumps_with_cells(graph: Any, spare: Mapping[Any, CellType]) -> bytes:
    """Pickle an object graph, and those of the `spare` cells that it reaches by itself."""
    file = io.BytesIO()
    pickler = _Pickler(file, PROTOCOL)
    pickler.dump(graph)
    pickler.dump({name: cell for name, cell in spare.items() if id(cell) in pickler.cells})
    return file.getvalue()


def loads_with_cells(data: bytes) -> tuple[Any, dict[Any, CellType]]:
    """Rebuild what `dumps_with_cells` has saved: the graph and the spare cells it reaches."""
    unpickler = pickle.Unpickler(io.BytesIO(data))
    return unpickler.load(), unpickler.load()


def pickler(file: io.BytesIO, persistent_id: Callable[[Any], Any]) -> pickle.Pickler:
    """A pickler for several graphs that share objects, and for objects that are part of none.

    Args:
        file: where to write.
        persistent_id: as in `pickle.Pickler`.
    """
    return _PersistentPickler(file, persistent_id)


def unpickler(file: io.BytesIO, persistent_load: Callable[[Any], Any]) -> pickle.Unpickler:
    """The counterpart of `pickler`."""
    return _PersistentUnpickler(file, persistent_load)


def register(kind: type, reducer: Reducer, *, subclasses: bool = False) -> None:
    """Save objects of a type in a way of their own.

    Args:
        kind: the type.
        reducer: gives what `object.__reduce_ex__` may give, or NotImplemented to leave it to pickle.
        subclasses: whether it holds for the subclasses as well.
    """
    if subclasses:
        _families.insert(0, (kind, reducer))
    else:
        _exact[kind] = reducer
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
_families: list[tuple[type, Reducer]] = []
_known: dict[type, Reducer | None] = {}
"""The reducer of each type that was met; None leaves it to pickle."""


def _find(kind: type) -> Reducer | None:
    reducer = _exact.get(kind)
    if reducer is None:
        reducer = next((found for family, found in _families if issubclass(kind, family)), None)
    _known[kind] = reducer
    return reducer


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.cells: set[int] = set()
        """The ids of the cells that were saved."""

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is CellType:
            self.cells.add(id(obj))
        try:
            reducer = _known[kind]
        except KeyError:
            reducer = _find(kind)
        return NotImplemented if reducer is None else reducer(obj)


class _PersistentPickler(_Pickler):
    def __init__(self, file: io.BytesIO, persistent_id: Callable[[Any], Any]) -> None:
        super().__init__(file, PROTOCOL)
        self._name = persistent_id

    def persistent_id(self, obj: Any) -> Any:
        return self._name(obj)


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


def _reduce_cell(cell: CellType) -> Reduced:
    try:
        contents = (cell.cell_contents,)
    except ValueError:
        return _empty_cell, ()
    return _empty_cell, (), contents, None, None, _fill_cell


# modules, methods, code


def _reduce_module(module: ModuleType) -> Reduced:
    if sys.modules.get(module.__name__) is not module:
        raise TypeError(f"cannot save module {module.__name__!r}: it was not imported under that name")
    return importlib.import_module, (module.__name__,)


def _reduce_method(method: MethodType) -> Reduced:
    """A method is found by its name, unless the name leads to another one (``super().name``)."""
    function, owner = method.__func__, method.__self__
    name = getattr(function, "__name__", None)
    found = getattr(owner, name, None) if isinstance(name, str) else None
    if getattr(found, "__func__", None) is function:
        return getattr, (owner, name)
    return MethodType, (function, owner)


def _reduce_code(code: CodeType) -> Reduced:
    raise TypeError(f"cannot save the code object {code.co_qualname}: bytecode is bound to one Python version")


# singletons


def _global_object(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _reduce_object(obj: Any) -> Reduced:
    """A bare ``object()`` is there for its identity; it is worth most as a module's attribute."""
    for module_name, module in list(sys.modules.items()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is obj:
                return _global_object, (module_name, name)
    return object, ()


# classes


def _reduce_by_cloudpickle(obj: Any) -> Reduced:
    reduced: Reduced = _cloudpickler().dispatch_table[type(obj)](obj)
    return reduced


def _cloudpickler() -> Any:
    import cloudpickle  # only wanted for the parts of local classes

    return cloudpickle.Pickler(io.BytesIO(), PROTOCOL)


def importable(obj: Any) -> bool:
    """Whether a class or function is what its module has under its name."""
    found: Any = sys.modules.get(obj.__module__ or "")
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def _reduce_class(cls: type) -> Reduced:
    """A class is found by its name; one that cannot be (it was defined inside a function) is saved
    by value."""
    if importable(cls):
        return NotImplemented
    reduced: Reduced = _cloudpickler().reducer_override(cls)
    return reduced


register(CellType, _reduce_cell)
register(ModuleType, _reduce_module)
register(MethodType, _reduce_method)
register(CodeType, _reduce_code)
register(object, _reduce_object)
register(type, _reduce_class, subclasses=True)
for _kind in (classmethod, staticmethod, property, MappingProxyType, *map(type, ({}.keys(), {}.values(), {}.items()))):
    register(_kind, _reduce_by_cloudpickle)
