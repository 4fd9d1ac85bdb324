"""The store in Redis, on a real server."""

from pathlib import Path

import pytest

pytest.importorskip("redis")

from durable_ast.stores.redis import RedisStore
from durable_ast.testing.store_conformance import StoreConformance


class TestRedis(StoreConformance):
    @pytest.fixture(autouse=True)
    def _keys(self, redis_keys):
        self._keys = redis_keys

    def open(self, place: Path):
        return RedisStore(self._keys.url, prefix=self._keys.name, lease=3.0)
