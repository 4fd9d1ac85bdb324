"""Every store of the library does what a store must do."""

from pathlib import Path

import pytest

from durable_ast import DiskStateStore, InMemoryStateStore, SQLiteStore, StateStore
from durable_ast.backends.durable import instance_store
from durable_ast.testing.store_conformance import StoreConformance


class _SameEachTime(StoreConformance):
    """A store that exists once: opened again, it is the same one."""

    lists = False

    @pytest.fixture(autouse=True)
    def _fresh(self):
        self._store = self.make()

    def open(self, place: Path):
        return self._store


class TestInMemory(_SameEachTime):
    def make(self):
        return InMemoryStateStore()


class TestTwoMethods(_SameEachTime):
    def make(self):
        class Shelf(StateStore):
            def __init__(self):
                self.states = {}

            async def load(self, instance_id):
                return self.states.get(instance_id)

            async def save(self, instance_id, state):
                self.states[instance_id] = state

        return instance_store(Shelf())


class TestDisk(StoreConformance):
    def open(self, place: Path):
        return DiskStateStore(place)


class TestSQLite(StoreConformance):
    def open(self, place: Path):
        return SQLiteStore(place / "durable.db")


class TestSQLiteNormal(StoreConformance):
    def open(self, place: Path):
        return SQLiteStore(place / "durable.db", synchronous="NORMAL")


class TestSQLiteAsTheRuntimeUsesIt(StoreConformance):
    def open(self, place: Path):
        return instance_store(SQLiteStore(place / "durable.db", synchronous="NORMAL"))
