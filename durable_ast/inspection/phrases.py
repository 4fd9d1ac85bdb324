"""How the calls in a snapshot are shown, by the function that they call.

A snapshot says of an object which function makes it again, from what.  For those of this library that
would read like nothing a user knows, here is what the reader sees instead.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CellType
from typing import Any

from ..runtime.functions import key_of
from ..state import snapshot
from .shapes import Shape, Text, shape_class


def _exception(kind: Any, *args: Any) -> Any:
    return kind(*args) if isinstance(kind, type) else Text("exception", f"{kind}{args!r}")


def _stand_in(base: Any, module: str, qualname: str, text: str, args: Any) -> Text:
    return Text(qualname, f"{qualname}({text!r})")


def _generator(ref: str, block: int, locals: Any, cells: Any, child: Any, names: tuple[str, str]) -> Text:
    return Text("generator", f"<{names[1]}() in block {block}>")


def _function(ref: str, *rest: Any) -> Text:
    return Text("function", f"<function {key_of(ref).qualname}>")


def _module(name: str) -> Text:
    return Text("module", f"<module {name!r}>")


def _attribute(owner: Any, name: str, *default: Any) -> Text:
    return Text("method", f"{owner!r}.{name}")


def _view(mapping: Any, kind: str) -> Text:
    return Text(f"dict_{kind}", f"{mapping!r}.{kind}()")


def _global(module: str, name: str) -> Text:
    return Text("object", f"{module}.{name}")


def _around(path: tuple[str, ...]) -> Text:
    return Text("object", f"<{'.'.join(path)} around the program>")


def _cell_around(path: tuple[str, ...]) -> CellType:
    return CellType()


def _local_class(mark: str, path: Any, qualname: str, *rest: Any) -> type[Shape]:
    return shape_class("", qualname.rpartition(".")[2])


def _resource(name: str, registrar: str, saved: Any) -> Text:
    return Text(name.rpartition(".")[2], f"{name.rpartition('.')[2]}({saved!r})")


def _lock(locked: bool) -> Text:
    return Text("lock", f"<{'locked' if locked else 'unlocked'} lock>")


def _rlock(count: int) -> Text:
    return Text("RLock", f"<RLock, held {count} times>")


def _made(kind: Any) -> Any:
    return kind()


def _file(name: Any, path: str, mode: str, position: int) -> Text:
    return Text("file", f"<open file {path!r} at {position}>")


def _closed_file(name: Any, *rest: Any) -> Text:
    return Text("file", f"<closed file {name!r}>")


def _buffered_file(kind: Any, raw: Any, position: int) -> Any:
    return raw


def _text_file(raw: Any, facts: Any, position: int) -> Any:
    return raw


def _stream(name: str, layer: Any) -> Text:
    return Text("file", f"sys.{name}")


def _match(method: str, pattern: Any, text: Any, start: int, end: int) -> Text:
    return Text("Match", f"<match in {text!r}>")


def _task(number: int) -> Text:
    return Text("Task", f"<task of branch {number}>")


def _gathering(children: Any, *rest: Any) -> Text:
    return Text("Future", f"gather({', '.join(map(repr, children))})")


def _shielded(inner: Any) -> Text:
    return Text("Future", f"shield({inner!r})")


def _done(outcome: tuple[str, Any]) -> Text:
    return Text("Future", f"<done: {outcome[0]} {outcome[1]!r}>")


def _timeout() -> Text:
    return Text("Timeout", "<timeout>")


def _nothing(*args: Any) -> None:
    """Sets what an object has besides what is shown of it."""


_STATE = snapshot.__name__.rpartition(".")[0]
_RUNTIME = "durable_ast.runtime"

PHRASES: dict[tuple[str, str], Callable[..., Any]] = {
    ("builtins", "getattr"): _attribute,
    ("importlib", "import_module"): _module,
    (f"{_STATE}.snapshot", "_empty_cell"): CellType,
    (f"{_STATE}.snapshot", "_fill_cell"): snapshot._fill_cell,
    (f"{_STATE}.snapshot", "_view"): _view,
    (f"{_STATE}.snapshot", "global_object"): _global,
    (f"{_STATE}.exceptions", "_make"): _exception,
    (f"{_STATE}.exceptions", "_make_named"): _stand_in,
    (f"{_STATE}.exceptions", "_stand_in"): _stand_in,
    (f"{_STATE}.exceptions", "_fill"): _nothing,
    (f"{_STATE}.known_classes", "_known_or_made"): _local_class,
    (f"{_STATE}.known_classes", "_fill"): _nothing,
    (f"{_STATE}.resources", "_restored"): _resource,
    (f"{_STATE}.synchronization", "_make_asyncio"): _made,
    (f"{_STATE}.synchronization", "_make_lock"): _lock,
    (f"{_STATE}.synchronization", "_make_rlock"): _rlock,
    (f"{_STATE}.synchronization", "_make_condition"): _made,
    (f"{_STATE}.files", "_reopened"): _file,
    (f"{_STATE}.files", "_buffered"): _buffered_file,
    (f"{_STATE}.files", "_text"): _text_file,
    (f"{_STATE}.files", "_closed"): _closed_file,
    (f"{_STATE}.files", "_closed_raw"): _closed_file,
    (f"{_STATE}.files", "_closed_text"): _closed_file,
    (f"{_STATE}.files", "_stream"): _stream,
    (f"{_STATE}.standard", "_match"): _match,
    (f"{_RUNTIME}.tasks", "task_of"): _task,
    (f"{_RUNTIME}.asyncio_state", "_gather"): _gathering,
    (f"{_RUNTIME}.asyncio_state", "_shield"): _shielded,
    (f"{_RUNTIME}.asyncio_state", "_done"): _done,
    (f"{_RUNTIME}.asyncio_state", "_make_timeout"): _timeout,
    (f"{_RUNTIME}.asyncio_state", "_fill_timeout"): _nothing,
    (f"{_RUNTIME}.asyncio_state", "_fill_group"): _nothing,
    (f"{_RUNTIME}.environment", "cell_at"): _cell_around,
    (f"{_RUNTIME}.environment", "content_at"): _around,
    (f"{_RUNTIME}.generators", "_rebuild"): _generator,
    (f"{_RUNTIME}.reducers", "_make_function"): _function,
    (f"{_RUNTIME}.reducers", "_fill"): _nothing,
}
"""By module and name of a function, what a call of it is shown as; any other is shown as a call."""
