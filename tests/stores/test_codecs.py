"""Stores that sign, encrypt and compress what they are given."""

import asyncio
import base64
import logging
import os
import pickle
import sqlite3
from pathlib import Path

import pytest

from durable_ast import (
    CheckpointException,
    DurableBackend,
    PauseForEventException,
    SQLiteStore,
    Status,
    TamperedStateError,
    make_durable,
    open_store,
    wait_for_event,
)
from durable_ast.state.codec import Chain, Compression, Signing
from durable_ast.stores import coded
from durable_ast.testing.store_conformance import PROGRAMS, StoreConformance, commit, new

KEY = base64.b64encode(bytes(range(32))).decode()


class TestSigned(StoreConformance):
    def open(self, place: Path):
        return open_store(place / "durable.db", signing_key="secret", synchronous="NORMAL")


class TestSignedEncryptedCompressed(StoreConformance):
    def open(self, place: Path):
        pytest.importorskip("cryptography")
        return open_store(
            place / "durable.db", signing_key="secret", encryption_key=KEY, compress=True, synchronous="NORMAL"
        )


class TestSignedFiles(StoreConformance):
    def open(self, place: Path):
        return open_store(f"file:///{place}", signing_key="secret")


@make_durable
async def program(secret: str) -> str:
    for _ in range(3):
        await step()
    return secret


async def step():
    return None


async def fill(path, **keys):
    store = open_store(path, **keys)
    record, _ = await store.acquire(new(call_stack=b"mark: start"))
    await commit(
        store,
        record,
        call_stack=b"mark: state",
        outcome=b"mark: outcome",
        error="mark: error",
        parts={"v/a": b"mark: part"},
    )
    await store.save("plain", {"text": "mark: plain"})
    store.release("one", record.epoch)
    await store.close()


def change(path, statement, *values):
    with sqlite3.connect(path) as connection:
        connection.execute(statement, values)
    connection.close()


async def test_a_record_that_was_changed_is_put_aside_unread(tmp_path):
    path = tmp_path / "durable.db"
    await fill(path, signing_key="secret")
    bomb = pickle.dumps(_Bomb(tmp_path / "exploded"))
    for column in ("call_stack", "retry", "outcome"):
        change(path, f"UPDATE durable_instances SET {column} = ?", bomb)
    change(path, "UPDATE durable_states SET state = ?", bomb)
    store = open_store(path, signing_key="secret")
    with pytest.raises(CheckpointException, match="one"):
        await store.read("one")
    with pytest.raises(CheckpointException):
        await store.load("plain")
    assert (await store.claim(PROGRAMS, 1)).records == []
    await store.close()
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("column", ["call_stack", "outcome", "error"])
async def test_who_claims_a_changed_record_does_not_get_it_again(tmp_path, column):
    path = tmp_path / "durable.db"
    await fill(path, signing_key="secret")
    change(path, f"UPDATE durable_instances SET {column} = ?", b"changed" if column != "error" else "changed")
    store = open_store(path, signing_key="secret")
    assert (await store.claim(PROGRAMS, 1)).records == []
    (shown,) = await store.records()
    assert (shown.status, shown.call_stack) == (Status.PARKED, None)
    with pytest.raises(TamperedStateError, match="'one'"):
        await store.acquire(new())
    await store.close()


async def test_a_record_is_worth_nothing_in_another_place(tmp_path):
    path = tmp_path / "durable.db"
    await fill(path, signing_key="secret")
    change(path, "UPDATE durable_instances SET id = 'other'")
    store = open_store(path, signing_key="secret")
    with pytest.raises(TamperedStateError, match="'other'"):
        await store.read("other")
    await store.close()


async def test_a_mailbox_that_does_not_pass_does_not_hide_the_others(tmp_path):
    path = tmp_path / "durable.db"
    store = open_store(path, signing_key="secret")
    for instance_id in ("one", "two"):
        await asyncio.wrap_future(store.publish(instance_id, ".cancel", b""))
    change(path, "UPDATE durable_messages SET payload = ? WHERE instance_id = 'one'", b"changed")
    found = await store.mailboxes(["one", "two"])
    assert list(found) == ["two"]
    await store.close()


async def test_another_key_reads_nothing_and_an_older_one_is_accepted(tmp_path):
    path = tmp_path / "durable.db"
    await fill(path, signing_key="old")
    store = open_store(path, signing_key="new")
    with pytest.raises(TamperedStateError, match="signature"):
        await store.read("one")
    await store.close()
    store = open_store(path, signing_key=["new", "old"])
    assert (await store.read("one")).call_stack == b"mark: state"
    await store.close()


async def test_nothing_that_is_encrypted_can_be_seen(tmp_path):
    pytest.importorskip("cryptography")
    path = tmp_path / "durable.db"
    await fill(path, encryption_key=KEY)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"mark:" not in stored
    other = base64.b64encode(os.urandom(32)).decode()
    store = open_store(path, encryption_key=[other, KEY])
    assert (await store.read("one")).error == "mark: error"
    await store.close()
    store = open_store(path, encryption_key=other)
    with pytest.raises(TamperedStateError, match="key"):
        await store.read("one")
    await store.close()


async def test_the_key_of_the_environment_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("DURABLE_AST_KEY", "from outside")
    plain = SQLiteStore(tmp_path / "durable.db")
    assert await program("x", orchestration_backend=DurableBackend(plain), instance_id="it") == "x"
    assert (await plain.read("it")).outcome.startswith(b"S1")
    store = open_store(tmp_path / "durable.db", signing_key="from outside")
    assert (await store.read("it")).outcome is not None
    await store.close()
    await plain.close()


def test_a_shared_store_without_a_key_is_warned_of_once(monkeypatch, caplog):
    class Shared(SQLiteStore):
        is_shared = True

    monkeypatch.delenv("DURABLE_AST_KEY", raising=False)
    monkeypatch.setattr(coded, "_has_warned", False)
    with caplog.at_level(logging.WARNING, "durable_ast"):
        for _ in range(2):
            DurableBackend(Shared(":memory:"))
    assert [record.message for record in caplog.records if "DURABLE_AST_KEY" in record.message] == [
        caplog.records[0].message
    ]


def test_what_is_compressed_is_smaller_and_what_would_grow_is_left():
    codec = Chain([Compression(), Signing("secret")])
    for data in (b"state" * 1000, os.urandom(1000), b"", b"short"):
        stored = codec.encode(data, b"here")
        assert len(stored) <= len(data) + 35
        assert codec.decode(stored, b"here") == data
    assert len(codec.encode(b"state" * 1000, b"here")) < 100


@pytest.mark.parametrize("wrong", [{"signing_key": ""}, {"signing_key": []}, {"encryption_key": b"short"}])
def test_keys_that_are_none_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="key"):
        open_store(tmp_path / "durable.db", **wrong)


class _Bomb:
    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return Path.touch, (Path(self.file),)


@pytest.mark.parametrize(
    "forged",
    [
        "call_stack = NULL",
        "outcome = NULL",
        "error = NULL",
        "call_stack = NULL, outcome = NULL, error = NULL",
        "retry = NULL",
        "status = 'SUCCESS'",
        "status = 'CANCELLED', outcome = NULL",
        "sequence = sequence - 1",
    ],
)
async def test_what_was_deleted_of_a_record_is_missed(tmp_path, forged):
    path = tmp_path / "durable.db"
    store = open_store(path, signing_key="secret")
    record, _ = await store.acquire(new())
    await commit(store, record, call_stack=b"state", outcome=b"outcome", error="error", retry=(b"before",))
    store.release("one", record.epoch)
    await store.close()
    change(path, f"UPDATE durable_instances SET {forged}")
    store = open_store(path, signing_key="secret")
    with pytest.raises(TamperedStateError, match="'one'"):
        await store.read("one")
    with pytest.raises(TamperedStateError, match="'one'"):
        await store.acquire(new())
    await store.close()


@make_durable
async def waiting() -> str:
    return await wait_for_event("go")


async def test_an_instance_whose_state_was_deleted_does_not_start_over(tmp_path):
    store = open_store(tmp_path / "durable.db", signing_key="secret")
    facts = {"orchestration_backend": DurableBackend(store), "instance_id": "it"}
    with pytest.raises(PauseForEventException):
        await waiting(**facts)
    change(tmp_path / "durable.db", "UPDATE durable_instances SET call_stack = NULL")
    with pytest.raises(TamperedStateError, match="state is missing"):
        await waiting(**facts)
    await store.close()


async def test_who_has_another_key_spoils_nothing(tmp_path):
    await fill(tmp_path / "durable.db", signing_key="secret")
    stranger = open_store(tmp_path / "durable.db", signing_key="other")
    assert (await stranger.claim(PROGRAMS, 1)).records == []
    await stranger.close()
    store = open_store(tmp_path / "durable.db", signing_key="secret")
    record, _ = await store.acquire(new())
    assert record.call_stack == b"mark: state"
    await store.close()
