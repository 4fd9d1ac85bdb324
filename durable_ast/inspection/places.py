"""Where a saved call stands in the text of its function; the program is parsed, never imported."""

from __future__ import annotations

import ast
import functools
import linecache
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from ..compiler.compile import compile_function, find_code
from ..compiler.compiled import Compiled
from ..compiler.explain import first_line
from ..compiler.source import FunctionKey
from ..compiler.stored import compile_stored, kept_file, original_file
from ..compiler.table import lines_of, text_of
from ..errors import DurableError
from ..runtime.functions import key_of

NOTHING_KEPT: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a source text.

    Attributes:
        function: the qualified name of the function.
        module: the module it is in.
        file: the file of the text; None if it was not found.
        first_line: the line of the file on which `text` begins.
        text: the lines of the function.
        cursor: the first and last line of what it stands at; None if that cannot be told.
        awaited: what it awaits there, as the user wrote it.
        note: why something is missing, if it is.
    """

    function: str
    module: str
    file: str | None = None
    first_line: int = 1
    text: tuple[str, ...] = ()
    cursor: tuple[int, int] | None = None
    awaited: str = ""
    note: str | None = None


def place_of(
    ref: str, block: int, texts: Mapping[str, str] = NOTHING_KEPT, folders: Sequence[str] | None = None
) -> Place:
    """The position of a call that stands in a block.

    Args:
        ref: the function and its version, as a checkpoint names them.
        block: the number of the block.
        texts: the texts that the store keeps, by version.
        folders: where to look for modules; `sys.path` if None.
    """
    key, version = key_of(ref), ref.rpartition("@")[2]
    now = current(key, texts.get(version), folders)
    if now.compiled is not None and now.compiled.version == version:
        return _at(now.compiled, block)
    then = stored(ref, texts)
    if then is not None:
        return replace(_at(then, block), note=f"{now.note or 'it was edited since'}; this is what it was then")
    if now.compiled is not None:
        note = f"edited since the checkpoint was written (then version {version[:8]}, now {now.compiled.version[:8]})"
        return replace(_place(now.compiled), note=note)
    return Place(key.qualname, key.module, note=now.note)


@dataclass(frozen=True, slots=True)
class Current:
    """A function as its file has it now.

    Attributes:
        file: where it should be; None if that was not found.
        compiled: what it compiles to; None if it is not there.
        note: why it is not there.
    """

    file: Path | None
    compiled: Compiled | None = None
    note: str | None = None


def current(key: FunctionKey, text: str | None, folders: Sequence[str] | None = None) -> Current:
    """A function as its file has it now; the file is parsed, not imported.

    Args:
        key: which function.
        text: the text that the store keeps of it; it names the file of a script.
        folders: where to look for modules; `sys.path` if None.
    """
    file = _file_of(key.module, text, sys.path if folders is None else folders)
    if file is None:
        what = "the script it is from" if key.module == "__main__" else f"module {key.module}"
        return Current(None, note=f"{what} was not found here")
    try:
        compiled = _compiled(str(file), file.stat().st_mtime_ns, key)
    except (DurableError, OSError, SyntaxError, ValueError) as error:
        return Current(file, note=f"its text cannot be read ({error})")
    return Current(file, compiled, f"there is no such function in {file} any more" if compiled is None else None)


def _file_of(module: str, text: str | None, folders: Sequence[str]) -> Path | None:
    if module != "__main__":
        return module_file(module, folders)
    script = None if text is None else Path(kept_file(text))
    return script if script is not None and script.is_file() else None


def stored(ref: str, texts: Mapping[str, str]) -> Compiled | None:
    """A function as it was when the checkpoint was written, if the store has its text."""
    key, version = key_of(ref), ref.rpartition("@")[2]
    return compile_stored(key, version, texts[version]) if version in texts else None


def has_migration(file: Path, key: FunctionKey) -> bool:
    """Whether a function in this file is decorated with ``@migrate(function)`` for this one."""
    for statement in ast.parse(file.read_bytes()).body:
        for decorator in getattr(statement, "decorator_list", ()):
            if isinstance(decorator, ast.Call) and [ast.unparse(each) for each in decorator.args] == [key.qualname]:
                name = ast.unparse(decorator.func).rpartition(".")[2]
                if name == "migrate":
                    return True
    return False


def _place(compiled: Compiled) -> Place:
    source = compiled.source
    return Place(
        source.key.qualname,
        source.key.module,
        original_file(source),
        first_line(compiled),
        tuple(source.text.splitlines()),
    )


def _at(compiled: Compiled, block: int) -> Place:
    if block == 0:
        line: int = compiled.source.node.lineno
        cursor, awaited = (line, line), ""
    else:
        point = compiled.lowered.points[block - 1]
        lines = lines_of(point.origin)
        cursor, awaited = (lines.start, lines.stop - 1), text_of(point)
    return replace(_place(compiled), cursor=cursor, awaited=awaited)


def module_file(module: str, folders: Sequence[str]) -> Path | None:
    """The file of a module, found by its name alone: importing a parent package would run it.

    >>> module_file("durable_ast.errors", [str(Path(__file__).parents[2])]).name
    'errors.py'
    """
    parts = module.split(".")
    for folder in folders:
        place = Path(folder or ".").joinpath(*parts)
        for file in (place.with_name(place.name + ".py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


@functools.lru_cache(maxsize=256)
def _compiled(file: str, modified: int, key: FunctionKey) -> Compiled | None:
    namespace = {"__name__": key.module, "__file__": file}
    linecache.checkcache(file)
    code = find_code(file, namespace, key.qualname, key.ordinal)
    return None if code is None else compile_function(code, namespace)
