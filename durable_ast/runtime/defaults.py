"""The backend of calls that name none: a SQLite file in the current directory."""

from __future__ import annotations

import os.path

from ..backends.durable import DurableBackend

FILE = "durable.db"

_backends: dict[str, DurableBackend] = {}


def default_backend() -> DurableBackend:
    """The backend on ``durable.db`` in the current directory; one for each directory."""
    from ..stores.sqlite import SQLiteStore

    path = os.path.abspath(FILE)
    backend = _backends.get(path)
    if backend is None:
        backend = _backends[path] = DurableBackend(SQLiteStore(path))
    return backend
