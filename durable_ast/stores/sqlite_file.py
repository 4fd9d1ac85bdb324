"""A SQLite file of this library: its tables, and how to open it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from ..errors import NewerFormatError, StoreError

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE durable_instances (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    program TEXT NOT NULL,
    status TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    arguments TEXT,
    call_stack BLOB,
    retry BLOB,
    awaited TEXT,
    wake_at REAL,
    outcome BLOB,
    error TEXT,
    owner TEXT,
    recoveries INTEGER NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    due REAL -- when it can go on, if nobody owns it and that is known
);
CREATE INDEX durable_instances_owned ON durable_instances (owner) WHERE owner IS NOT NULL;
CREATE INDEX durable_instances_due ON durable_instances (due) WHERE due IS NOT NULL;
CREATE TABLE durable_owners (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE durable_parts (
    instance INTEGER NOT NULL REFERENCES durable_instances (key),
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (instance, name)
);
CREATE TABLE durable_messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_id TEXT NOT NULL,
    name TEXT NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX durable_messages_of_instance ON durable_messages (instance_id, number);
CREATE TABLE durable_schema (version INTEGER NOT NULL);
CREATE TABLE durable_states (id TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
"""

TABLES = frozenset(f"durable_{name}" for name in ("instances", "owners", "parts", "messages", "states", "schema"))
"""What is the library's own in a file that may hold tables of others."""


def open_database(path: str, patience: float) -> sqlite3.Connection:
    """A connection to the file, which is created with its tables if it is new.

    Args:
        path: the file.
        patience: see `patiently`.
    """
    if path != ":memory:" and not os.path.exists(path):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # state is private to its user
    connection = sqlite3.connect(path, isolation_level=None, timeout=min(5.0, patience), check_same_thread=False)
    try:
        patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"), patience)
        patiently(lambda: _create(connection, path), patience)
    except BaseException:
        connection.close()
        raise
    return connection


def open_impatient(path: str, patience: float) -> sqlite3.Connection:
    """Another connection to a file that exists: once it is open, it waits neither for other writers nor
    for the disk, and leaves the care of the write-ahead log to the first one.

    Args:
        path: the file.
        patience: see `patiently`.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=0.0, check_same_thread=False)
    try:
        # it reads the schema, for which the file may be locked
        patiently(lambda: connection.execute("PRAGMA synchronous = NORMAL"), patience)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        connection.close()
        raise
    return connection


def patiently(attempt: Callable[[], Any], patience: float) -> None:
    """Try again while another process holds the file, for so many seconds.

    Raises:
        StoreError: it still does.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            attempt()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            if time.monotonic() > deadline:
                raise StoreError(
                    f"another process has kept the database locked for {patience} seconds; nothing was changed, the last "
                    "checkpoint is kept. Keep transactions on it short, or give the store more patience="
                ) from error
            time.sleep(0.01)


def roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction, if one is open; what cannot be rolled back now stays open, for the next to try again."""
    with contextlib.suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _create(connection: sqlite3.Connection, path: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        exists = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'durable_schema'").fetchone()
        (version,) = connection.execute("SELECT version FROM durable_schema").fetchone() if exists else (0,)
        if version > SCHEMA_VERSION:
            raise NewerFormatError(
                f"{path} was written by a later version of durable-ast (schema {version}; this version knows "
                f"{SCHEMA_VERSION}); upgrade durable-ast"
            )
        if version == 0:
            for statement in SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute("INSERT INTO durable_schema VALUES (?)", (SCHEMA_VERSION,))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
