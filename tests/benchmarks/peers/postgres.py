"""Databases for a measurement, on the server that the tests use."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

SERVER = os.environ.get("DURABLE_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432")


def database_of(folder: Path) -> str:
    """How to reach the database that belongs to a folder; it is made with the first question."""
    import psycopg

    name = _name(folder)
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
            connection.execute(f"CREATE DATABASE {name}")
    return f"{SERVER}/{name}"


def drop_database_of(folder: Path) -> None:
    """Leave nothing behind."""
    try:
        import psycopg

        with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {_name(folder)} WITH (FORCE)")
    except (ImportError, psycopg.OperationalError):
        return


def _name(folder: Path) -> str:
    return "measured_" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]
