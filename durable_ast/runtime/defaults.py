"""The backend of calls that name none: a SQLite file in the current directory."""

from __future__ import annotations

from pathlib import Path

from ..backends.durable import DurableBackend

FILE = "durable.db"

_backends: dict[Path, DurableBackend] = {}


def default_backend() -> DurableBackend:
    """The backend on ``durable.db`` in the current directory; one for each directory."""
    from ..stores.sqlite import SQLiteStore

    path = Path(FILE).absolute()
    backend = _backends.get(path)
    if backend is None:
        backend = _backends[path] = DurableBackend(SQLiteStore(path))
    return backend
