"""Whatever the moment of a kill: each block of SQL has happened once."""

import contextlib
import sqlite3

import pytest

from .harness import Killer
from .transactions import BLOCKS


@pytest.fixture(params=["sqlite", "postgres"])
def bank(request, tmp_path):
    """A killer, a table beside its store, how SQL marks a value there, and what reads the table."""
    if request.param == "sqlite":
        killer, table, mark = Killer(tmp_path), "ledger", "?"

        def query(text):
            with contextlib.closing(sqlite3.connect(killer.store, isolation_level=None)) as connection:
                return connection.execute(text).fetchall()

    else:
        psycopg = pytest.importorskip("psycopg")
        given = request.getfixturevalue("postgres_schema")
        killer = Killer(tmp_path, given.conninfo, {"schema": given.name, "lease": 0.5})
        table, mark = f"{given.name}.ledger", "%s"

        def query(text):
            with psycopg.connect(given.conninfo, autocommit=True) as connection:
                cursor = connection.execute(text)
                return cursor.fetchall() if cursor.description else []

        query(f"CREATE SCHEMA {given.name}")
    query(f"CREATE TABLE {table} (line INTEGER NOT NULL)")
    query(f"CREATE TABLE {table}_total (lines INTEGER NOT NULL)")
    query(f"INSERT INTO {table}_total VALUES (0)")
    return killer, table, mark, query


@pytest.mark.parametrize("program", ["bookkeeping", "two_bookkeepers"])
def test_each_block_has_happened_once(bank, program):
    killer, table, mark, query = bank

    def start():
        return killer.start("run", program, "it", f'"{table}"', f'"{mark}"')

    while killer.kills < 15:
        before = len(query(f"SELECT line FROM {table}"))
        process = start()
        wanted = before + killer.chance.randint(0, (BLOCKS - before) // (16 - killer.kills))
        killer.wait_until(process, lambda wanted=wanted: len(query(f"SELECT line FROM {table}")) >= wanted)
        killer.pause(0.006)
        assert killer.kill(process), "it ended before it was killed often enough"
        ((total,),) = query(f"SELECT lines FROM {table}_total")
        assert total == len(query(f"SELECT line FROM {table}")), "half of a block has happened"
    killer.finish(start())
    lines = [line for (line,) in query(f"SELECT line FROM {table}")]
    assert sorted(lines) == list(range(BLOCKS))
    assert query(f"SELECT lines FROM {table}_total") == [(BLOCKS,)]
