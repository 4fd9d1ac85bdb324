"""Open files in a snapshot: opened again at their position, and never truncated.

A temporary file without a name is gone with its process, so it is saved with what is in it.

A text file is a layer over a buffer over a raw file, and any of them may be held by itself; each
is saved as what it is.  What has been written must be where another process finds it, so a file is
flushed when it is saved.
"""

from __future__ import annotations

import codecs
import gc
import io
import os
import stat
import sys
from typing import Any

from ..errors import CheckpointException
from .resources import Elsewhere, is_looking
from .snapshot import Reduced, register, register_by_name

_STANDARD = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")
_NEWLINES = ("", "\n", "\r", "\r\n")


def register_all() -> None:
    """Let snapshots save open files."""
    register(io.TextIOWrapper, _reduce_text)
    for kind in (io.BufferedReader, io.BufferedWriter, io.BufferedRandom):
        register(kind, _reduce_buffered)
    register(io.FileIO, _reduce_raw)
    register_by_name("tempfile", "_TemporaryFileWrapper", _reduce_temporary)
    register_by_name("tempfile", "TemporaryDirectory", _reduce_directory)


def _standard(file: Any) -> Reduced:
    """One of the standard streams, which every process has of its own."""
    for name in _STANDARD:
        found = getattr(sys, name)
        if found is not file and not issubclass(type(found), io.IOBase):
            continue  # a stand-in, which may make an answer up, or do something, when it is asked
        for layer in ((), ("buffer",), ("buffer", "raw")):
            if _layer(found, layer) is file:
                return _stream, (name, layer)
    return None


def _stream(name: str, layer: tuple[str, ...]) -> Any:
    return _layer(getattr(sys, name), layer)


def _layer(file: Any, layer: tuple[str, ...]) -> Any:
    for name in layer:
        file = getattr(file, name, None)
    return file


def _reduce_text(file: io.TextIOWrapper) -> Reduced:
    standard = _standard(file)
    if standard is not None:
        return standard
    facts = {
        "encoding": file.encoding,
        "errors": file.errors,
        "newline": _newline(file),
        "line_buffering": file.line_buffering,
        "write_through": file.write_through,
    }
    if file.closed:
        return _closed_text, (file.name, facts), vars(file) or None
    file.flush()
    return _text, (file.buffer, facts, file.tell()), vars(file) or None


def _closed_text(name: Any, facts: dict[str, Any]) -> io.TextIOWrapper:
    with _stand_in(name) as raw:
        return io.TextIOWrapper(io.BufferedReader(raw), **facts)


def _text(buffer: Any, facts: dict[str, Any], position: int) -> Any:
    if isinstance(buffer, Elsewhere):
        return buffer
    file = io.TextIOWrapper(buffer, **facts)
    file.seek(position)
    return file


def _newline(file: io.TextIOWrapper) -> str | None:
    """What `open` was told about newlines.  No attribute says so; but the file refers to it, between
    its codecs and the text it has decoded, unless it is None."""
    codec, told, after = _behind_codecs(file)
    if not isinstance(told, str) or told not in _NEWLINES:
        return None
    if told == "" and isinstance(after, tuple) and file.seekable():
        file.seek(file.tell())  # or it is the text, of which there is none now
        codec, told, after = _behind_codecs(file)
        return "" if told == "" else None
    if isinstance(codec, io.IncrementalNewlineDecoder) and told:
        return None  # lines end with anything, so this is text
    return told


def _behind_codecs(file: io.TextIOWrapper) -> tuple[Any, Any, Any]:
    """The last codec of a file, and the next two objects that it refers to."""
    held = gc.get_referents(file)
    last = max((index for index, obj in enumerate(held) if _is_codec(obj)), default=len(held))
    codec, told, after = [*held[last : last + 3], None, None, None][:3]
    return codec, told, after


def _is_codec(obj: Any) -> bool:
    return isinstance(obj, (codecs.IncrementalDecoder, codecs.IncrementalEncoder, io.IncrementalNewlineDecoder))


def _reduce_buffered(file: Any) -> Reduced:
    standard = _standard(file)
    if standard is not None:
        return standard
    if file.closed:
        return _closed, (file.name,)
    if file.writable():
        file.flush()
    return _buffered, (type(file), file.raw, file.tell())


def _buffered(kind: Any, raw: Any, position: int) -> Any:
    if isinstance(raw, Elsewhere):
        return raw
    file = kind(raw)
    file.seek(position)
    return file


def _closed(name: Any) -> io.BufferedReader:
    with _stand_in(name) as raw:
        return io.BufferedReader(raw)


def _closed_raw(name: Any) -> io.FileIO:
    with _stand_in(name) as raw:
        return raw


def _stand_in(name: Any) -> io.FileIO:
    """What a file that was closed when it was saved is made of."""
    raw = io.FileIO(os.devnull)
    raw.name = name
    return raw


def _reduce_raw(file: io.FileIO) -> Reduced:
    standard = _standard(file)
    if standard is not None:
        return standard
    if file.closed:
        return _closed_raw, (file.name,)
    found = os.fstat(file.fileno())
    name = file.name
    if isinstance(name, int) and _is_temporary(file, found):
        return _filled, (file.mode, os.pread(file.fileno(), found.st_size, 0), file.tell())
    if isinstance(name, int) or not stat.S_ISREG(found.st_mode):
        raise TypeError(f"cannot save the open file {name!r}: it is no file in a folder")
    path = os.path.abspath(os.fsdecode(name))
    try:
        is_there = os.path.samestat(found, os.stat(path))
    except FileNotFoundError:
        is_there = False
    if not is_there:
        raise TypeError(f"cannot save the open file {name!r}: it was deleted or renamed")
    return _reopened, (name, path, file.mode, file.tell())


LARGEST_TEMPORARY = 1 << 20
"""How many bytes there may be in a temporary file that is saved."""


def _is_temporary(file: io.FileIO, found: os.stat_result) -> bool:
    """Whether nobody else can find a file: it is in no folder, and small enough to be saved."""
    is_nowhere = stat.S_ISREG(found.st_mode) and not found.st_nlink
    return is_nowhere and file.readable() and found.st_size <= LARGEST_TEMPORARY


def _filled(mode: str, contents: bytes, position: int) -> Any:
    if is_looking():
        return Elsewhere(f"temporary file of {len(contents)} bytes", position)
    import tempfile  # only wanted for these

    with tempfile.TemporaryFile(buffering=0) as made:
        made.write(contents)
        raw = io.FileIO(os.dup(made.fileno()), mode)
    raw.seek(position)
    return raw


def _reopened(name: Any, path: str, mode: str, position: int) -> Any:
    if is_looking():
        return Elsewhere(f"open file {path}", position)

    def opener(_: str, flags: int) -> int:
        return os.open(path, flags & ~(os.O_TRUNC | os.O_EXCL | os.O_CREAT))

    try:
        raw = io.FileIO(name, mode, opener=opener)
    except OSError as error:
        raise CheckpointException(
            f"{path} was open in the instance and cannot be opened again: {error}; the instance can be called again "
            "once it can"
        ) from error
    raw.seek(position)
    return raw


def _reduce_temporary(file: Any) -> Reduced:
    raise TypeError(f"cannot save the temporary file {file.name!r}: it is deleted with its process")


def _reduce_directory(directory: Any) -> Reduced:
    """A temporary folder belongs to the instance, not to the process, once it has been saved: it goes
    when its `with` block is left."""
    directory._finalizer.detach()
    return NotImplemented
