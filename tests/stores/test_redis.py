"""The store in Redis, on a real server."""

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("redis")

from durable_ast import NewerFormatError
from durable_ast.state.schema import Outgoing, Status
from durable_ast.stores.redis import RedisStore
from durable_ast.testing.store_conformance import PROGRAMS, StoreConformance, commit, new


class TestRedis(StoreConformance):
    lease = 3.0

    @pytest.fixture(autouse=True)
    def _keys(self, redis_keys):
        self._keys = redis_keys

    def open(self, place: Path):
        return RedisStore(self._keys.url, prefix=self._keys.name, lease=self.lease)


@pytest.fixture(scope="module")
def server_without_scripts(tmp_path_factory):
    """How to reach a server as a user who may run no script."""
    from tests.chaos.servers import RedisWithoutScripts

    server = RedisWithoutScripts(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.close()


class TestWithoutScripts(StoreConformance):
    lease = 3.0

    @pytest.fixture(autouse=True)
    def _server(self, server_without_scripts, request):
        self._url, self._name = server_without_scripts, f"{request.node.name}"

    def open(self, place: Path):
        return RedisStore(self._url, prefix=self._name, lease=self.lease)


@pytest.fixture
async def open_store(redis_keys):
    stores = []

    def open_one(**options):
        stores.append(RedisStore(redis_keys.url, prefix=redis_keys.name, **options))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


async def test_what_a_forgotten_owner_takes_is_claimed_by_others(open_store, redis_keys):
    """A process that was stopped while it asked for an instance, for so long that others have buried it."""
    import redis

    dead, alive = open_store(), open_store()
    await dead.acquire(new("first"))
    with redis.Redis.from_url(redis_keys.url) as client:
        client.delete(f"{{{redis_keys.name}}}:owners")
    await dead.acquire(new("second"))
    async with asyncio.timeout(30):
        while "second" not in [record.instance_id for record in (await alive.claim(PROGRAMS, 10)).records]:
            await asyncio.sleep(0.05)


async def test_who_renews_the_lease_has_a_turn_between_two_requests(open_store):
    store, turns, stored, found = open_store(), [], [], []

    async def beside():
        while not found:
            turns.append(1)
            await asyncio.sleep(0)

    async def begin(jobs):  # in the thread of the store, so that all of these are asked for at once
        store._remote.start(beside())
        stored.extend(store.publish("one", "event", b"") for _ in range(100))
        stored[-1].add_done_callback(lambda _: found.append(len(turns)))
        return jobs

    await store._remote.ask(begin, None, None)
    await asyncio.gather(*map(asyncio.wrap_future, stored))
    assert found[0] >= 90


async def test_only_what_has_ended_expires(open_store, redis_keys):
    import redis

    store = open_store(ttl=3600)
    for status in Status:
        record, _ = await store.acquire(new(status.value))
        await asyncio.wrap_future(store.publish(status.value, "before", b""))
        record = await commit(store, record, parts={"v/1": b"value"})
        await commit(store, record, status=status, call_stack=b"end")
        store.release(status.value, record.epoch)
        await asyncio.wrap_future(store.publish(status.value, "later", b""))
    await store.read("ERROR")
    with redis.Redis.from_url(redis_keys.url) as client:
        for status in Status:
            left = [client.ttl(f"{{{redis_keys.name}}}:{kind}:{status.value}") for kind in "ipmn"]
            assert all(0 < each <= 3600 for each in left) if status.is_final else left == [-1] * 4, status
    assert await store.delete("SUCCESS")


async def test_a_message_to_one_that_has_ended_goes_with_it(open_store, redis_keys):
    import redis

    store = open_store(ttl=3600)
    record, _ = await store.acquire(new())
    await commit(store, record, status=Status.SUCCESS, call_stack=None)
    await asyncio.wrap_future(store.publish("one", "late", b""))
    with redis.Redis.from_url(redis_keys.url) as client:
        assert all(0 < client.ttl(f"{{{redis_keys.name}}}:{kind}:one") <= 3600 for kind in "imn")


async def test_what_a_later_version_has_written_is_refused(open_store, redis_keys):
    import redis

    with redis.Redis.from_url(redis_keys.url) as client:
        client.set(f"{{{redis_keys.name}}}:format", 99)
    with pytest.raises(NewerFormatError, match="format 99"):
        await open_store().enqueue(new())


async def test_any_node_of_a_cluster_leads_to_the_one_that_has_the_keys(tmp_path):
    import redis

    from tests.chaos.servers import Redis, free_port

    nodes, buses = [], []
    try:
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            options = "--cluster-enabled", "yes", "--cluster-port", str(free_port())
            nodes.append(Redis(tmp_path / str(number), *options))
            buses.append(options[-1])
        ports = [int(node.url.rpartition(":")[2].partition("/")[0]) for node in nodes]
        first, second = (redis.Redis.from_url(node.url, decode_responses=True) for node in nodes)
        first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        second.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        first.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[1], buses[1])
        async with asyncio.timeout(60):
            while not all(each.cluster("info")["cluster_state"] == "ok" for each in (first, second)):
                await asyncio.sleep(0.05)
        names = {0: None, 1: None}
        for number in range(20):
            name = f"store-{number}"
            names[first.execute_command("CLUSTER", "KEYSLOT", f"{{{name}}}") > 8191] = name
        for name in names.values():
            stores = [RedisStore(node.url, prefix=name) for node in nodes]
            record, _ = await stores[0].acquire(new())
            seen = await stores[1].changed("one", None, 0)
            waiting = asyncio.create_task(stores[1].changed("one", seen, 60))
            await asyncio.sleep(0.2)
            parts = {"b/1": b"branch", "v/1": b"value"}
            await commit(stores[0], record, call_stack=b"here", parts=parts, outbox=(Outgoing("two", "letter", b""),))
            await waiting
            for store in stores:
                assert (await store.read("one")).state == b"here"
                assert await store.parts("one") == parts
                assert [message.name for message in await store.messages("two")] == ["letter"]
                assert [each.instance_id for each in await store.records()] == ["one"]
            for store in stores:
                await store.close()
        first.close()
        second.close()
    finally:
        for node in nodes:
            node.close()
