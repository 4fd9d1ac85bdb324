"""The store in Redis, on a real server."""

from pathlib import Path

import pytest

pytest.importorskip("redis")

from durable_ast import StoreError
from durable_ast.stores.redis import RedisStore
from durable_ast.testing.store_conformance import StoreConformance, new


class TestRedis(StoreConformance):
    @pytest.fixture(autouse=True)
    def _keys(self, redis_keys):
        self._keys = redis_keys

    def open(self, place: Path):
        return RedisStore(self._keys.url, prefix=self._keys.name, lease=3.0)


async def test_a_user_who_may_not_run_scripts_is_told_so(tmp_path):
    import redis

    from tests.chaos.servers import Redis

    server = Redis(tmp_path)
    try:
        with redis.Redis.from_url(server.url) as client:
            client.acl_setuser(
                "plain", enabled=True, passwords=["+secret"], categories=["+@all", "-@scripting"], keys=["*"]
            )
        store = RedisStore(server.url.replace("redis://", "redis://plain:secret@"))
        with pytest.raises(StoreError, match=r"\+@scripting"):
            await store.enqueue(new())
        await store.close()
    finally:
        server.close()
