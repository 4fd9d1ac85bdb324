"""Random concurrent programs: durable and resumed, they do what asyncio does."""

import pickle
import random

import pytest

from durable_ast import DurableBackend, make_durable

from ..everywhere import RecordingStore
from . import trees
from .trees import Cancel, Completed, Do, First, Gather, Group, Guard, Node, Seq, Shield, WaitFor


class Generator:
    """Makes programs from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names: list[str] = []

    def node(self, depth: int) -> Node:
        kinds = [self.do] if depth == 0 else [
            self.do, self.seq, self.seq, self.gather, self.gather, self.group, self.group, self.guard, self.guard,
            self.cancel, self.shield, self.wait_for, self.first, self.completed,
        ]  # fmt: skip
        return self.random.choice(kinds)(depth - 1)

    def nodes(self, depth: int) -> tuple[Node, ...]:
        return tuple(self.node(depth) for _ in range(self.random.randint(1, 3)))

    def do(self, depth: int) -> Node:
        self.names.append(f"s{len(self.names)}")
        return Do(self.names[-1], self.random.random() < 0.15)

    def seq(self, depth: int) -> Node:
        return Seq(self.nodes(depth))

    def gather(self, depth: int) -> Node:
        return Gather(self.nodes(depth), self.random.random() < 0.5)

    def group(self, depth: int) -> Node:
        return Group(self.nodes(depth), self.node(depth))

    def guard(self, depth: int) -> Node:
        maybe = [self.node(max(depth - 1, 0)) if self.random.random() < 0.5 else None for _ in range(2)]
        return Guard(self.node(depth), *maybe)

    def cancel(self, depth: int) -> Node:
        return Cancel(self.node(depth), self.node(max(depth - 1, 0)))

    def shield(self, depth: int) -> Node:
        return Shield(self.node(depth))

    def wait_for(self, depth: int) -> Node:
        return WaitFor(self.node(depth))

    def first(self, depth: int) -> Node:
        return First(self.nodes(depth))

    def completed(self, depth: int) -> Node:
        return Completed(self.nodes(depth))


class LoggingStore(RecordingStore):
    """Keeps every state, with what had been logged when it was saved."""

    def __init__(self, first: bytes | None = None) -> None:
        super().__init__(first)
        self.logs: list[list[str]] = []

    async def save(self, instance_id, state):
        await super().save(instance_id, state)
        self.logs.append(list(trees.LOG))


def durably(node: Node, store: RecordingStore):
    program = make_durable(trees.run)
    return program(node, orchestration_backend=DurableBackend(store), instance_id="it")


async def check(seed: int, depth: int) -> None:
    """Compare one program's runs."""
    generator = Generator(seed)
    node = generator.node(depth)
    script = list(generator.names)
    generator.random.shuffle(script)
    plain, plain_log = await trees.scripted(trees.run(node), script)
    store = LoggingStore()
    result, log = await trees.scripted(durably(node, store), script)
    assert (result, trees.in_order(log)) == (plain, trees.in_order(plain_log)), node
    for index, (_, state) in enumerate(store.states):
        if pickle.loads(state)["status"] == "ERROR":
            continue
        resumed, log = await trees.scripted(durably(node, LoggingStore(state)), script)
        assert resumed == plain, (index, node, script)
        assert ends(store.logs[index]) + ends(log) == ends(plain_log), (index, node, script)


def ends(log: list[str]) -> list[str]:
    """The steps that ended, in order."""
    return [entry for entry in log if entry.endswith("ended")]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", range(15))
async def test_random_programs(seed):
    await check(seed, depth=3)
