"""Functions of the user's that bring calls over to edited code."""

import asyncio
import importlib

import pytest

from durable_ast import DurableBackend, GoOn, PauseForEventException, make_durable, migrate, wait_for_event

from .test_changed_code import FIRST, run  # noqa: F401

IMPORTS = "from durable_ast import GoOn, migrate, wait_for_event"
EDITED = FIRST.replace("from durable_ast import wait_for_event", IMPORTS).replace(
    "label = f", "total += 1\n    label = f"
)
REFUSE = "{'on_change': 'refuse'}"


def test_with_other_variables_at_the_same_await(run):  # noqa: F811
    text = (
        EDITED
        + """
@migrate(order)
def add_the_fee(call):
    assert call.function == "order"
    assert "total = await price(item)" in call.source and "total += 1" not in call.source
    assert call.awaits == "wait_for_event('paid')"
    return GoOn({**call.locals, "total": call.locals["total"] + 1})
"""
    )
    assert run(text, "go", options=REFUSE) == "result ('order of 2', 21, 7)"


def test_at_another_await_with_a_new_variable(run):  # noqa: F811
    text = f"""
{IMPORTS}

async def order(item):
    amount = (await cost(item), 'USD')
    payment = (await wait_for_event("paid"), await cost(1))
    return amount, payment

async def cost(item):
    return item * 100

@migrate(order)
def in_euros(call):
    return GoOn({{"amount": (call.locals["total"], "EUR")}}, at='await wait_for_event("paid")')
"""
    assert run(text, "go") == "result ((20, 'EUR'), (7, 100))"


def test_by_its_number(run):  # noqa: F811
    text = (
        EDITED
        + """
@migrate(order)
def here(call):
    return GoOn({**call.locals, "total": 0}, at=2)
"""
    )
    assert run(text, "go") == "result ('order of 2', 0, 7)"


def test_without_an_answer_it_is_as_without_a_migration(run):  # noqa: F811
    text = (
        EDITED
        + """
@migrate(order)
def not_this_one(call):
    return None
"""
    )
    assert run(text, "go", options=REFUSE).startswith("CodeChangedError")
    assert run(text, "go") == "result ('order of 2', 20, 7)"


def test_where_nothing_was_edited_before_the_place_it_is_not_asked(run):  # noqa: F811
    text = FIRST.replace("from durable_ast import wait_for_event", IMPORTS).replace(
        "return label", "return 'new', label"
    )
    text += """
@migrate(order)
def never(call):
    raise AssertionError
"""
    assert run(text, "go") == "result ('new', 'order of 2', 20, 7)"


def test_what_cannot_be_is_an_error_and_the_instance_is_kept(run):  # noqa: F811
    text = (
        EDITED
        + """
@migrate(order)
def wrong(call):
    return GoOn({ANSWER})
"""
    )

    def shown(answer):
        shown = run(text.replace("{ANSWER}", answer), "go")
        assert shown.startswith("CodeChangedError") and "shop.py:7: order() was edited" in shown, shown
        return shown

    assert "reads total there, which was not given" in shown("{'label': 'x'}")
    assert "has no `nothing()`" in shown("call.locals, at='nothing()'")
    assert "\n  2: wait_for_event('paid')" in shown("call.locals, at='nothing()'")
    assert "has no point 9" in shown("call.locals, at=9")
    assert run(FIRST) == "result ('order of 2', 20, 7)"


NESTED = """
from durable_ast import GoOn, migrate, wait_for_event

async def step(x):
    return x

async def order(item):
    seen = []
    EARLIER
    for number in range(3):
        try:
            raise KeyError(number)
        except KeyError as error:
            seen.append((await step(number), await wait_for_event("paid"), str(error)))
    def add(x):
        seen.append(x)
    add("end")
    return seen

MIGRATION
"""


def test_inside_of_loops_and_handlers(tmp_path, run):  # noqa: F811
    (tmp_path / "shop.db").unlink()
    assert run(NESTED.replace("EARLIER", "pass").replace("MIGRATION", "")) == "waiting for paid"
    text = NESTED.replace("EARLIER", "for letter in 'ab':\n        await step(letter)").replace(
        "MIGRATION",
        "@migrate(order)\ndef on(call):\n    call.locals['seen'].append('moved')\n    return GoOn(call.locals)",
    )
    assert run(text, "go") == "waiting for paid"
    assert run(text, "go") == "waiting for paid"
    assert run(text, "go") == "result ['moved', (0, 7, '0'), (1, 7, '1'), (2, 7, '2'), 'end']"


def test_where_it_lies_in_other_constructs(tmp_path, run):  # noqa: F811
    (tmp_path / "shop.db").unlink()
    assert run(NESTED.replace("EARLIER", "pass").replace("MIGRATION", "")) == "waiting for paid"
    text = (
        NESTED.replace("for number in range(3):", "number = 0\n    if True:")
        .replace("EARLIER", "pass")
        .replace("MIGRATION", "@migrate(order)\ndef on(call):\n    return GoOn(call.locals)")
    )
    assert "does not lie in the loops, blocks and handlers that the call is in" in run(text, "go")


async def test_a_migration_whose_function_has_no_text_concerns_nobody_else():
    namespace = {"__name__": "elsewhere"}
    exec("async def gone(): pass", namespace)

    @migrate(namespace["gone"])
    def bring_over(call):
        raise AssertionError

    async def step(value):
        return value

    async def program():
        await step(1)
        await wait_for_event("go")
        return await step(2)

    backend = DurableBackend()
    with pytest.raises(PauseForEventException):
        await make_durable(program)(orchestration_backend=backend, instance_id="it")
    await asyncio.wrap_future(backend.publish_event("it", "go"))
    assert await make_durable(program)(orchestration_backend=backend, instance_id="it") == 2


async def test_the_migration_that_was_registered_last_counts(tmp_path, monkeypatch):
    """One that is mended and registered anew, as in a notebook, takes the place of the one before."""
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "from durable_ast import wait_for_event\n\nasync def order():\n    await wait_for_event('paid')\n    return 0\n"
    )
    file = tmp_path / "mended_anew.py"
    file.write_text(text)
    module = importlib.import_module("mended_anew")
    backend = DurableBackend()
    for name in ("one", "two"):
        with pytest.raises(PauseForEventException):
            await make_durable(module.order)(orchestration_backend=backend, instance_id=name)
        await asyncio.wrap_future(backend.publish_event(name, "paid"))
    file.write_text(text.replace("    await", "    total = 1\n    await").replace("return 0", "return total"))
    importlib.reload(module)
    for name, total in (("one", 10), ("two", 20)):
        migrate(module.order)(lambda call, total=total: GoOn({"total": total}))
        assert await make_durable(module.order)(orchestration_backend=backend, instance_id=name) == total
