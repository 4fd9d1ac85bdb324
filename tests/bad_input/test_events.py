"""Odd names and payloads of events."""

import asyncio
import threading

import pytest

from durable_ast import (
    DiskStateStore,
    DurableBackend,
    DurableError,
    InMemoryStateStore,
    InvalidEventNameError,
    NotPersistableError,
    PauseForEventException,
    SQLiteStore,
    make_durable,
    wait_for_event,
)


@pytest.fixture(params=["memory", "disk", "sqlite"])
def backend(request, tmp_path):
    stores = {
        "memory": InMemoryStateStore,
        "disk": lambda: DiskStateStore(tmp_path / "folder"),
        "sqlite": lambda: SQLiteStore(tmp_path / "durable.db"),
    }
    return DurableBackend(stores[request.param]())


@make_durable
async def hear(name):
    return await wait_for_event(name)


@make_durable
async def pause(name):
    raise PauseForEventException(name)


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "a..", "ünï 日本 🐍", "x" * 5000, "'; --", "line\nbreak", "nul\0nul"], ids=ascii
)
async def test_the_name_of_an_event_is_any_text(backend, name):
    with pytest.raises(PauseForEventException) as waiting:
        await hear(name, orchestration_backend=backend, instance_id="it")
    assert waiting.value.event == name
    backend.publish_event("it", name + "?", "another")
    backend.publish_event("it", name, [name])
    assert await hear(name, orchestration_backend=backend, instance_id="it") == [name]


@pytest.mark.parametrize("name", [None, 7, b"bytes", ["list"], Exception(), "\ud800", ".cancel"], ids=ascii)
@pytest.mark.parametrize("program", [hear, pause], ids=["wait", "raise"])
async def test_what_is_no_name(backend, program, name):
    with pytest.raises(InvalidEventNameError, match="name of an event must"):
        await program(name, orchestration_backend=backend, instance_id="it")
    with pytest.raises(InvalidEventNameError, match="name of an event must"):
        backend.publish_event("it", name)


@pytest.mark.parametrize("payload", [None, False, 0, "", [], {}, 0.0, b"", (), "\ud800", float("inf")], ids=repr)
async def test_falsy_and_odd_payloads_stay_what_they_are(backend, payload):
    backend.publish_event("it", "event", payload)
    received = await hear("event", orchestration_backend=backend, instance_id="it")
    assert received == payload
    assert type(received) is type(payload)


@pytest.mark.parametrize("payload", [threading.local(), [{"deep": threading.local()}]], ids=["bare", "inside"])
async def test_a_payload_that_cannot_be_saved_is_refused_where_it_is_published(backend, payload):
    with pytest.raises(NotPersistableError, match=r"payload of event 'event'.*'it'"):
        backend.publish_event("it", "event", payload)
    backend.publish_event("it", "event", "good")
    assert await hear("event", orchestration_backend=backend, instance_id="it") == "good"


async def test_waiting_outside_of_a_durable_function():
    with pytest.raises(DurableError, match="outside of a durable function"):
        await wait_for_event("event")


async def library(callback):
    """Stands for code of others: what it calls is part of a step."""
    return await asyncio.wait_for(callback(), 5)


def sync_pause():
    raise PauseForEventException("allow")


def test_a_pause_in_a_sync_helper_is_an_error_that_says_so(backend):
    """A sync function cannot be left in the middle and gone on with."""

    async def main():
        sync_pause()

    with pytest.raises(DurableError, match=r"test_events.py:\d+.*'allow'.*sync_pause.*await wait_for_event") as error:
        asyncio.run(make_durable(main)(orchestration_backend=backend, instance_id="it"))
    assert not isinstance(error.value, PauseForEventException)
