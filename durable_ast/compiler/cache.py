"""Compiled functions on disk, beside the bytecode of their module.

A function's entry is a file of its own in the ``__pycache__`` of its source: the plain code that it was
compiled from, the running version, the twin once it was wanted, and the facts about them.  It holds
for one text of the file, one version of Python and one version of this compiler; any other finds
nothing and compiles.  As with CPython's own ``.pyc`` files, ``PYTHONPYCACHEPREFIX`` moves them,
``PYTHONDONTWRITEBYTECODE`` keeps them from being written, and no failure to write them is an error.

Safe, because an entry takes its place in one move, is read only if its digest is right, and only if it
belongs to somebody who could change the program anyway.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import marshal
import os
import sys
from types import CodeType
from typing import Any, Final

from .code_objects import note_made, plain_qualname
from .compiled import Compiled, Live, Manager, Managers
from .kinds import Flavour, PointKind
from .source import FileText, FunctionKey, FunctionSource

_DIGEST: Final = 16
_HEADER: Final = 3 * _DIGEST

_swept: set[str] = set()
"""The files whose outdated entries this process has removed."""


def load(code: CodeType, file: FileText, module: str) -> Compiled | None:
    """The compiled form of the function with this code, if an earlier process has left it."""
    path = _path(code)
    data = None if path is None else _read(path, code.co_filename)
    if data is None or data[:_HEADER] != _header(file.digest, data[_HEADER:]):
        return None
    plain, facts, *made = marshal.loads(data[_HEADER:])
    return _unpacked(code, file, module, facts, *made) if _is_same(plain, code) else None


def save(compiled: Compiled) -> None:
    """Leave a compiled function for later processes."""
    source = compiled.source
    path = _path(source.plain)
    if path is None or sys.dont_write_bytecode or not os.path.isfile(source.filename):
        return
    body = marshal.dumps((source.plain, _facts(compiled), compiled.code, compiled.twin))
    with contextlib.suppress(OSError):  # a folder that cannot be written to: it is compiled each time
        _write(path, _header(source.file.digest, body) + body, os.stat(source.filename).st_mode)
        _sweep(path, source.file.digest)


def _is_same(first: CodeType, second: CodeType) -> bool:
    names = (first.co_qualname, first.co_filename)
    return first == second and names == (second.co_qualname, second.co_filename)


def _path(code: CodeType) -> str | None:
    """The place of an entry; None for code that is from no file."""
    filename = code.co_filename
    if filename.startswith("<") or not _compiler():
        return None
    try:
        beside = importlib.util.cache_from_source(os.path.abspath(filename))
    except NotImplementedError:  # an interpreter without bytecode files
        return None
    name = hashlib.blake2b(code.co_qualname.encode(), digest_size=6).hexdigest()
    return f"{beside.removesuffix('.pyc')}.durable-{name}.pyc"


def _header(text: bytes, body: bytes) -> bytes:
    return _compiler() + text + hashlib.blake2b(body, digest_size=_DIGEST).digest()


@functools.cache
def _compiler() -> bytes:
    """What stands for this compiler on this Python: the files of this folder as they were last written;
    nothing, if it has no files."""
    found = hashlib.blake2b(importlib.util.MAGIC_NUMBER, digest_size=_DIGEST)
    try:
        with os.scandir(os.path.dirname(__file__)) as entries:
            files = sorted((entry.name, entry.stat()) for entry in entries if entry.name.endswith(".py"))
    except OSError:
        return b""
    for name, facts in files:
        found.update(f"{name} {facts.st_mtime_ns} {facts.st_size}\n".encode())
    return found.digest()


# files


def _read(path: str, filename: str) -> bytes | None:
    """An entry, unless it is missing or from somebody who has no business there."""
    try:
        with open(path, "rb") as file:
            return file.read() if _is_trusted(os.fstat(file.fileno()), filename) else None
    except OSError:
        return None


def _is_trusted(entry: os.stat_result, filename: str) -> bool:
    """Whether only those can have written it who can change what runs here: root, the user, and the
    owner of the source."""
    if not hasattr(os, "geteuid"):
        return True
    if entry.st_mode & 0o002:
        return False
    return entry.st_uid in (0, os.geteuid()) or entry.st_uid == os.stat(filename).st_uid


def _write(path: str, data: bytes, mode: int) -> None:
    """Write an entry; whoever looks finds the old one or the new one."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}-{id(data)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, (mode | 0o600) & 0o644)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _sweep(path: str, text: bytes) -> None:
    """Remove what earlier texts of the same file have left."""
    folder, name = os.path.split(path)
    stem = name[: name.rindex(".durable-")]
    if stem in _swept:
        return
    _swept.add(stem)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(f"{stem}.durable-"):
                with open(entry.path, "rb") as file:
                    start = file.read(2 * _DIGEST)
                if start != _compiler() + text:
                    os.unlink(entry.path)


# facts as what `marshal` knows


def _facts(compiled: Compiled) -> tuple[Any, ...]:
    source = compiled.source
    around = {
        number: tuple((m.name, m.entered, m.targets, tuple(sorted(m.reads)), m.line) for m in managers)
        for number, managers in compiled.managers.around.items()
    }
    return (
        source.key.ordinal,
        source.class_name,
        source.imports,
        source.lines,
        source.statement_lines,
        source.version,
        compiled.flavour.value,
        tuple(kind.value for kind in compiled.kinds),
        compiled.cells,
        compiled.locals,
        {number: (live.locals, live.cells, live.spare_cells) for number, live in compiled.live.items()},
        around,
        tuple(sorted(compiled.managers.entering)),
    )


def _unpacked(
    plain: CodeType, file: FileText, module: str, facts: tuple[Any, ...], code: CodeType, twin: CodeType | None
) -> Compiled:
    ordinal, class_name, imports, lines, statement_lines, version, flavour, kinds, *rest = facts
    cells, locals, live, around, entering = rest
    for made in (code, twin):
        if made is not None:
            note_made(made)
    key = FunctionKey(module, plain_qualname(plain), ordinal)
    return Compiled(
        source=FunctionSource(key, plain, class_name, file, imports, lines, statement_lines, version),
        flavour=Flavour(flavour),
        kinds=tuple(map(PointKind, kinds)),
        code=code,
        cells=cells,
        locals=locals,
        live={number: Live(*names) for number, names in live.items()},
        managers=Managers(
            {
                number: tuple(
                    Manager(name, entered, targets, frozenset(reads), line)
                    for name, entered, targets, reads, line in managers
                )
                for number, managers in around.items()
            },
            set(entering),
        ),
        twin=twin,
    )
