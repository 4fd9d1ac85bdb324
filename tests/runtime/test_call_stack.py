"""The call stack by its public names: what it holds, and its saved form."""

import ast
import asyncio

import pytest

from durable_ast import (
    CallStack,
    CodeBlock,
    DurableAstTransformer,
    DurableBackend,
    DurableRuntime,
    FunctionCall,
    PauseForEventException,
    make_durable,
    transform_to_durable_ast,
    wait_for_event,
)

ran: list[object] = []


@pytest.fixture(autouse=True)
def _fresh():
    ran.clear()


async def step(value):
    ran.append(value)
    return value


async def inner(shared: list[int]) -> int:
    shared.append(1)
    answer = await wait_for_event("answer")
    shared.append(answer)
    return len(shared)


@make_durable
async def outer(name: str) -> tuple[str, int, list[int]]:
    shared = [0]
    unused = name * 2
    await step(unused)
    size = await inner(shared)
    return name, size, shared


async def paused() -> DurableRuntime:
    runtime = DurableRuntime(outer, DurableBackend(), "it")
    with pytest.raises(PauseForEventException):
        await runtime.run("Ada")
    return runtime


async def test_it_shows_the_live_calls_outermost_first():
    stack = (await paused()).call_stack
    assert [call.key.qualname for call in stack] == ["outer", "inner"]
    assert len(stack) == 2
    assert not stack.is_empty()
    assert stack.peek() is stack.stack[-1]
    first, second = stack
    assert first.visible_locals() == {"name": "Ada", "shared": [0, 1]}
    assert second.visible_locals() == {"shared": [0, 1]}
    assert first.visible_locals()["shared"] is second.visible_locals()["shared"]


async def test_its_saved_form_comes_back_as_one_graph():
    stack = (await paused()).call_stack
    again = CallStack.from_state(stack.to_state())
    assert [(call.ref, call.block) for call in again] == [(call.ref, call.block) for call in stack]
    first, second = again
    assert first.visible_locals() == {"name": "Ada", "shared": [0, 1]}
    assert first.visible_locals()["shared"] is second.visible_locals()["shared"]
    assert first.visible_locals()["shared"] is not stack.stack[0].visible_locals()["shared"]


async def test_looking_at_it_changes_nothing():
    runtime = await paused()
    for call in runtime.call_stack:
        for value in call.visible_locals().values():
            if isinstance(value, list):
                value.append("spoiled")
    runtime.publish_event("answer", 7)
    assert await runtime.run() == ("Ada", 3, [0, 1, 7])
    assert runtime.call_stack.is_empty()
    assert runtime.call_stack.last_result == ("Ada", 3, [0, 1, 7])
    assert ran == ["AdaAda"]


def test_it_is_a_stack():
    stack = CallStack()
    assert stack.is_empty()
    assert stack.peek() is None
    call = FunctionCall(outer, {"name": "Ada"})
    stack.push(call)
    assert stack.peek() is call
    assert list(stack) == [call]
    assert stack.pop() is call
    assert stack.is_empty()


async def begin(a):
    b = a + 1
    await step(b)


async def more():
    c = b * 10  # noqa: F821, F841
    await wait_for_event("go on")


async def last():
    return a, b, c  # noqa: F821


async def test_blocks_that_are_appended_see_the_locals_and_are_saved():
    backend = DurableBackend()
    runtime = DurableRuntime(outer, backend, "grown")
    call = FunctionCall(begin, {"a": 1})
    call.append_code_block(CodeBlock(more))
    call.append_code_block(CodeBlock(last))
    runtime.call_stack.push(call)
    with pytest.raises(PauseForEventException):
        await runtime.run()
    assert ran == [2]
    await asyncio.wrap_future(backend.publish_event("grown", "go on"))
    assert await DurableRuntime(outer, backend, "grown").run() == (1, 2, 20)
    assert ran == [2]


def test_a_block_without_code_cannot_be_appended():
    with pytest.raises(TypeError, match=r"CodeBlock\(function\)"):
        FunctionCall(begin, {"a": 1}).append_code_block(outer.blocks[0])


async def two(a):
    b = await step(a)
    return b + await step(a)


def test_a_function_and_a_tree_are_transformed_alike():
    """Each statement awaits one thing, and says before which block it ends."""
    transformed = transform_to_durable_ast(two)
    assert isinstance(transformed, ast.Module)
    text = ast.unparse(transformed)
    assert text.startswith("async def two(a):")
    assert text.count("await .await(step(a))") == 2
    assert text.index("..b = 1") < text.index("..b = 2")
    compile(transformed, "<transformed>", "exec")
    tree = ast.parse("async def two(a):\n    b = await step(a)\n    return b + await step(a)")
    assert ast.unparse(DurableAstTransformer().visit(tree)) == text
    assert ast.unparse(transform_to_durable_ast(make_durable(two))) == text


def sync():
    return 1


@pytest.mark.parametrize(
    "given", [len, sync, 7, None, FunctionCall], ids=["builtin", "sync", "number", "none", "class"]
)
def test_what_cannot_be_transformed(given):
    with pytest.raises(TypeError, match="async def"):
        transform_to_durable_ast(given)


def test_the_rest_of_a_tree_stays_as_it_is():
    tree = ast.parse("import x\n\ndef sync():\n    return x.y")
    before = ast.unparse(tree)
    assert ast.unparse(DurableAstTransformer().visit(tree)) == before


def test_the_blocks_of_a_program():
    start, first, second = outer.blocks
    assert (start.number, first.number, second.number) == (0, 1, 2)
    assert (first.starts, second.starts) == ("step(unused)", "inner(shared)")
    assert set(first.keeps) == set(second.keeps) - {"size"} == {"name", "shared"}
    assert "unused" in first.drops
