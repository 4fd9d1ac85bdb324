"""Checkpoints a second on SQLite, beside commits of the same size by bare `sqlite3`."""

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from durable_ast import Durability, DurableBackend, SQLiteStore, make_durable

from .awaits import steps
from .measure import Row, Table, fastest, times

ALONE = 500
CROWD = 1_000
EACH = 40
_SIZE = 200
"""Bytes of a record; a checkpoint of `steps` has about as many."""


def measure() -> Table:
    """One instance, and a thousand at once."""
    rows = []
    raw = {}
    for level in ("FULL", "NORMAL"):
        raw[level] = ALONE / fastest(lambda level=level: _commit(level), 3)
        rows.append(Row(f"sqlite3, one by one, {level}", _rate(raw[level])))
    for count, each in ((1, ALONE), (CROWD, EACH)):
        for durability in (Durability.STRICT, Durability.RELAXED):
            for level in ("FULL", "NORMAL"):
                seconds = fastest(
                    lambda count=count, each=each, durability=durability, level=level: _run(
                        count, each, durability, level
                    ),
                    3 if count == 1 else 2,
                )
                rate = count * each / seconds
                name = f"{count:,} instance{'s' * (count > 1)}, {durability.name}, {level}"
                rows.append(Row(name, _rate(rate), times(rate / raw[level])))
    return Table("Checkpoints on SQLite", "beside one by one commits by sqlite3 at that level", rows)


def _rate(rate: float) -> str:
    return f"{rate:,.0f} /s"


def _commit(level: str) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(sqlite3.connect(Path(folder) / "x.db", isolation_level=None)) as db,
    ):
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {level}")
        db.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, data BLOB)")
        db.execute("INSERT INTO records VALUES (1, '')")
        for number in range(ALONE):
            db.execute("UPDATE records SET data = ? WHERE id = 1", (number.to_bytes(_SIZE, "big"),))


def _run(count: int, each: int, durability: Durability, level: str) -> None:
    program = make_durable(steps, durability=durability)

    async def main(file: Path) -> None:
        store = SQLiteStore(file, synchronous="FULL" if level == "FULL" else "NORMAL")
        backend = DurableBackend(store)
        await asyncio.gather(
            *(program(each, orchestration_backend=backend, instance_id=f"it-{number}") for number in range(count))
        )
        await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder) / "x.db"))
