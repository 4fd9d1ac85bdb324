"""The schema of a PostgreSQL store: made where it is not there, refused where a later version has made it."""

from __future__ import annotations

import importlib.resources
from typing import Any

import psycopg
from psycopg import sql

from ..errors import NewerFormatError

SCHEMA_VERSION = 1
"""The version of `postgres.sql`."""


async def create_schema(connection: psycopg.AsyncConnection[tuple[Any, ...]], schema: str) -> None:
    """Make the tables and functions, unless they are there; one process at a time does it."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"durable_ast {schema}",))
        cursor = await connection.execute("SELECT to_regclass(%s)", (f'"{schema}".meta',))
        ((exists,),) = await cursor.fetchall()
        if exists is None:
            await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
            text = importlib.resources.files(__package__).joinpath("postgres.sql").read_bytes()
            await connection.execute(text)
            await connection.execute("INSERT INTO meta VALUES (%s)", (SCHEMA_VERSION,))
            return
        cursor = await connection.execute("SELECT version FROM meta")
        ((version,),) = await cursor.fetchall()
    if version > SCHEMA_VERSION:
        raise NewerFormatError(
            f"schema {schema!r} was made by a later version of durable-ast (version {version}; this one knows "
            f"{SCHEMA_VERSION}); upgrade durable-ast"
        )
