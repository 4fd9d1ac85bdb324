"""``--db``: which store a command works on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from ..runtime.defaults import FILE
from ..stores.base import InstanceStore
from ..stores.disk import DiskStateStore
from ..stores.urls import open_store
from .failures import ExitCode, Failure

Database: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--db",
        envvar="DURABLE_AST_DB",
        metavar="URL",
        help=f"SQLite file, folder of a disk store, or URL; {FILE} if left out.",
    ),
]


@asynccontextmanager
async def opened(db: str | None, *, create: bool = False) -> AsyncIterator[InstanceStore]:
    """The store at a place.

    Args:
        db: as the user gave it, if at all.
        create: whether to make it if it is not there.

    Raises:
        Failure: it is not there.
    """
    store = _store(FILE if db is None else db, create)
    try:
        yield store
    finally:
        await store.close()


def _store(db: str, create: bool) -> InstanceStore:
    if not _has_scheme(db):
        path = Path(db.removeprefix("sqlite:///"))
        if path.is_dir():
            return DiskStateStore(path)
        if not create and not path.exists():
            raise Failure(f"there is no database at {path.absolute()}", "give the file with --db, or run where it is")
    try:
        return open_store(db)
    except ValueError as error:
        raise Failure(str(error), code=ExitCode.USAGE) from None
    except ImportError as error:
        raise Failure(f"{db} cannot be opened: {error}") from None


def _has_scheme(db: str) -> bool:
    return "://" in db and not db.startswith("sqlite:///")
