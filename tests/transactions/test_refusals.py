"""Where there is no transaction to be had."""

import pytest

from durable_ast import DurableBackend, StateStore, TransactionError, make_durable, transaction


class Shelf(StateStore):
    def __init__(self):
        self.states = {}

    async def load(self, instance_id):
        return self.states.get(instance_id)

    async def save(self, instance_id, state):
        self.states[instance_id] = state


async def test_outside_of_a_durable_function_it_says_so():
    with pytest.raises(TransactionError, match="outside of a durable function"):
        async with transaction():
            pass


@pytest.mark.parametrize("store", [None, Shelf()])
async def test_a_store_without_transactions_says_so(store):
    @make_durable
    async def book():
        async with transaction():
            pass

    with pytest.raises(TransactionError, match="SQLite or PostgreSQL"):
        await book(orchestration_backend=DurableBackend(store), instance_id="it")
