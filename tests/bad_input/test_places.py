"""Places where nothing can be stored: locked, read-only, full, or no place at all."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from durable_ast import DiskStateStore, DurableBackend, SQLiteStore, StoreError, make_durable

ROOT = Path(__file__).parents[2]


async def step(value):
    return value


@make_durable
async def double(number: int) -> int:
    return 2 * await step(number)


async def call(store, instance_id="it"):
    return await double(4, orchestration_backend=DurableBackend(store), instance_id=instance_id)


async def test_a_database_that_another_process_has_locked(tmp_path):
    """The call waits for its turn; the event loop does not."""
    store = SQLiteStore(tmp_path / "durable.db")
    await call(store, "first")
    with closing(sqlite3.connect(tmp_path / "durable.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        calling = asyncio.create_task(call(store, "second"))
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert not calling.done()
        other.execute("ROLLBACK")
    assert await calling == 8


async def test_a_database_that_is_being_read(tmp_path):
    store = SQLiteStore(tmp_path / "durable.db")
    await call(store, "first")
    with closing(sqlite3.connect(tmp_path / "durable.db", isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM durable_instances").fetchone() == (1,)
        assert await call(store, "second") == 8


@pytest.mark.parametrize("place", ["a/folder", "missing/x.db", "/proc/x.db"])
async def test_a_path_that_can_be_no_database(tmp_path, place):
    (tmp_path / "a" / "folder").mkdir(parents=True)
    with pytest.raises(StoreError) as refusal:
        await call(SQLiteStore(tmp_path / place))
    assert place in str(refusal.value)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/x"])
def test_a_path_that_can_be_no_folder(tmp_path, place):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(StoreError) as refusal:
        asyncio.run(call(DiskStateStore(tmp_path / place)))
    assert place in str(refusal.value)
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("address", ["postgres://here/db", "http://x"])
def test_an_address_that_is_no_file(address):
    with pytest.raises(ValueError, match="no SQLite file"):
        SQLiteStore(address)


@pytest.mark.parametrize("address", ["x.db", Path("x.db"), "sqlite:///x.db"])
def test_the_ways_to_name_a_file(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    assert asyncio.run(call(SQLiteStore(address))) == 8
    assert (tmp_path / "x.db").exists()
    assert (tmp_path / "x.db").stat().st_mode & 0o777 == 0o600


def test_a_database_in_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert asyncio.run(call(SQLiteStore(":memory:"))) == 8
    assert list(tmp_path.iterdir()) == []


def in_child(code: str, tmp_path: Path, *, user: bool = False) -> list[str]:
    """What a process of its own prints; optionally as somebody who is not root."""
    child = subprocess.run(
        [sys.executable, "-c", PREAMBLE + (NOT_ROOT if user else "") + textwrap.dedent(code)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.splitlines()


PREAMBLE = """
import asyncio, resource, sys
from pathlib import Path
from durable_ast import DiskStateStore, DurableBackend, DurableError, PauseForEventException, SQLiteStore, StoreError
from tests.bad_input.programs import grow, remember

def attempt(program, store, name, *args):
    backend = DurableBackend(store)
    try:
        result = asyncio.run(program(*args, orchestration_backend=backend, instance_id=name))
    except DurableError as error:
        print(type(error).__name__, error)
    else:
        print("result", result)

def store(name):
    return SQLiteStore("x.db") if name == "sqlite" else DiskStateStore("folder")

"""

NOT_ROOT = """
import os
import durable_ast.stores.coded  # what is imported late may be where only root can read
if os.getuid() == 0:  # who may do anything
    os.setuid(65534)
"""


@pytest.mark.parametrize("kind", ["sqlite", "disk"])
def test_a_full_disk(tmp_path, kind):
    """What was stored before is kept, and goes on once there is room."""
    refused, *_ = in_child(
        f"""
        # a file may not grow beyond this: for the program, the disk is full
        attempt(remember, store({kind!r}), "before", "first")
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        attempt(grow, store({kind!r}), "it", 50_000)
        """,
        tmp_path,
    )[1:]
    assert refused.startswith("StoreError")
    assert "last checkpoint is kept" in refused
    again = in_child(
        f"""
        attempt(grow, store({kind!r}), "it", 50_000)
        attempt(remember, store({kind!r}), "before", "first")
        """,
        tmp_path,
    )
    assert again == ["result 30", "result first"]
    ran = (tmp_path / "ran").read_text().split()
    assert len(ran) <= 31, "finished steps ran again"
    assert set(map(int, ran)) == set(range(30))


@pytest.fixture
def open_folder():
    """A folder that is open to everybody, as those above it are."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.mark.parametrize("kind", ["sqlite", "disk"])
def test_a_place_that_may_only_be_read(open_folder, kind):
    stored = in_child(f"""attempt(remember, store({kind!r}), "it", "first")""", open_folder, user=True)
    assert stored == ["result first"]
    things = [open_folder, *open_folder.rglob("*")]
    for thing in things:
        thing.chmod(0o555 if thing.is_dir() else 0o444)
    before = {file: file.read_bytes() for file in things if file.is_file()}
    (refused,) = in_child(f"""attempt(remember, store({kind!r}), "new", "second")""", open_folder, user=True)
    assert refused.startswith("StoreError")
    assert str(open_folder) in refused
    assert {file: file.read_bytes() for file in before} == before
    open_folder.chmod(0o777)
