"""Steps: run whole, tried again, told apart."""

import asyncio
import contextvars
import functools
import inspect
import pickle
import threading
import typing

import anyio
import pytest

from durable_ast import (
    AlreadyDurableException,
    Durability,
    DurableBackend,
    DurableError,
    InMemoryStateStore,
    NotPersistableError,
    StoreError,
    backoff,
    current_step,
    make_durable,
    step,
    step_key,
)

from ..effects import LOG, note, turn
from ..everywhere import RecordingStore, everywhere


@step
async def add(left, right=1):
    note(("add", left, right))
    await turn("inside")
    return left + right


@step(name="slow", retries=1)
def add_in_thread(left, right):
    note(("thread", left, right, current_step().name))
    return left + right


class Account:
    def __init__(self, total: int) -> None:
        self.total = total

    @step
    async def deposit(self, amount):
        note(("deposit", amount))
        return self.total + amount

    @classmethod
    @step
    async def opened(cls, total):
        return cls(total).total

    @staticmethod
    @step
    async def rounded(amount):
        return round(amount)


@step(retries=3)
async def succeeds_in(attempts, key):
    attempt = current_step().attempt
    note((key, attempt))
    if attempt < attempts:
        raise OSError(f"attempt {attempt}")
    return attempt


@everywhere()
async def test_a_step_is_run_whole_and_once():
    total = await add(1)
    for number in range(3):
        total = await add(total, right=number)
    return total, await add_in_thread(total, 1)


@everywhere()
async def test_methods_are_steps():
    account = Account(5)
    return (
        await account.deposit(2),
        await Account.deposit(account, 3),
        await Account.opened(4),
        await Account.rounded(1.6),
    )


@everywhere()
async def test_a_step_in_disguise_is_a_step():
    bound = functools.partial(add, right=5)
    inline = step(add.fn, retries=1)
    waiting = add(3)
    return await bound(1), await inline(2), await waiting


@everywhere()
async def test_attempts_are_made_on_from_where_they_stood():
    first = await succeeds_in(3, "a")
    try:
        second = await succeeds_in(9, "b")
    except OSError as error:
        second = str(error)
        third = await succeeds_in(2, "c")
    return first, second, third


@everywhere()
async def test_a_local_step_is_found_again():
    limit = 2

    @step(retries=2, retry_if=lambda error: str(error) != "stop")
    async def local(number):
        attempt = current_step().attempt
        note((number, attempt))
        if attempt < limit:
            raise ValueError("again")
        if number == 2:
            raise ValueError("stop")
        return number

    first = await local(1)
    try:
        await local(2)
    except ValueError as error:
        return first, str(error)


@step(retries=5, no_retry=(KeyError, asyncio.CancelledError), retry_if=lambda error: "again" in str(error))
async def fails(error):
    note("attempt")
    raise error


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (OSError("again"), 6),
        (OSError("enough"), 1),
        (KeyError("again"), 1),
        (asyncio.CancelledError("again"), 1),
        (KeyboardInterrupt("again"), 1),
    ],
)
def test_what_is_not_tried_again(error, attempts):
    LOG.clear()
    with pytest.raises(type(error)):
        asyncio.run(fails(error))
    assert LOG.count("attempt") == attempts


@step(timeout=0.01, retries=1)
async def never_ends():
    note("attempt")
    await asyncio.Event().wait()


@step(total_timeout=0.05, retries=10**6)
async def never_works():
    raise OSError("down")


@step(total_timeout=0.01, retries=10**6)
async def hangs():
    await asyncio.Event().wait()


async def test_a_timeout_is_an_error_of_its_attempt():
    LOG.clear()
    with pytest.raises(TimeoutError, match=r"never_ends: the timeout of 0.01 seconds ended in attempt 2"):
        await never_ends()
    assert LOG == ["attempt", "attempt"]


async def test_all_attempts_end_with_the_total_timeout():
    with pytest.raises(OSError, match=r"down|ended before attempt"):
        await never_works()
    with pytest.raises(TimeoutError, match=r"total_timeout of 0.01 seconds"):
        await hangs()


@make_durable
async def program(function, *args):
    return await function(*args)


async def run(function, *args, store=None, instance_id="it"):
    return await program(
        function, *args, orchestration_backend=DurableBackend(store or InMemoryStateStore()), instance_id=instance_id
    )


@pytest.mark.parametrize("function", [never_ends, hangs])
async def test_timeouts_hold_in_an_instance(function):
    with pytest.raises(TimeoutError, match=r"seconds ended (in|before) attempt"):
        await run(function)


async def test_a_timeout_of_the_users_own_keeps_its_text():
    @step(timeout=60)
    async def own():
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match=r"^mine$"):
        await own()


def test_a_step_looks_like_its_function():
    assert inspect.iscoroutinefunction(add) and inspect.iscoroutinefunction(add_in_thread)
    assert inspect.iscoroutinefunction(Account(1).deposit)
    assert add.__name__ == "add" and add.__module__ == __name__
    assert str(inspect.signature(add)) == "(left, right=1)"
    assert str(inspect.signature(Account(1).deposit)) == "(amount)"
    assert pickle.loads(pickle.dumps(add)) is add


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"retries": -1}, ValueError),
        ({"retries": 1.5}, TypeError),
        ({"retries": True}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"total_timeout": "1"}, TypeError),
        ({"backoff": 3}, TypeError),
        ({"retry_if": OSError("x")}, TypeError),
        ({"no_retry": [OSError]}, TypeError),
        ({"no_retry": (OSError("x"),)}, TypeError),
        ({"name": 3}, TypeError),
        ({"unknown": 3}, TypeError),
    ],
)
def test_nonsense_is_refused(options, error):
    with pytest.raises(error):
        step(**options)


def test_what_cannot_be_a_step_is_refused():
    async def items():
        yield 1

    with pytest.raises(TypeError, match="generator"):
        step(items)
    with pytest.raises(TypeError, match="needs a function"):
        step(3)
    with pytest.raises(TypeError, match="@staticmethod above @step"):
        step(staticmethod(add.fn))
    with pytest.raises(AlreadyDurableException):
        step(add)
    with pytest.raises(TypeError, match="step_id"):
        add(1, step_id=3)


@pytest.mark.parametrize("nonsense", [-1, float("nan"), None, "soon"])
async def test_a_backoff_that_gives_nonsense_is_an_error(nonsense):
    @step(retries=1, backoff=lambda attempt: nonsense)
    async def fails():
        raise OSError("down")

    with pytest.raises(ValueError, match="for attempt 1, and not a number of seconds"):
        await fails()


async def test_the_backoff_is_asked_with_the_number_of_the_retry():
    asked = []

    def wait(retry):
        asked.append(retry)
        return 0.0

    @step(retries=3, backoff=wait)
    async def fails():
        raise OSError("down")

    with pytest.raises(OSError, match="down"):
        await run(fails)
    assert asked == [0, 1, 2]


KEYS: list[str] = []


@step(retries=1, backoff=backoff.constant(0))
async def keyed(fail=False):
    KEYS.append(step_key())
    if fail and current_step().attempt == 1:
        raise OSError("again")
    return step_key()


@make_durable
async def keys():
    async def nested():
        return await keyed()

    return [await keyed(True)] + [await keyed() for _ in range(3)] + [await keyed(), await nested()]


async def test_a_key_belongs_to_one_call_of_one_instance():
    KEYS.clear()
    first = await keys(orchestration_backend=DurableBackend(), instance_id="one")
    assert KEYS[0] == KEYS[1], "another key for the second attempt"
    assert len(set(first)) == 6
    again = await keys(orchestration_backend=DurableBackend(), instance_id="one")
    assert again == first
    other = await keys(orchestration_backend=DurableBackend(), instance_id="two")
    assert not set(other) & set(first)


@step(retries=1)
async def plainly_keyed():
    KEYS.append(step_key())
    if len(KEYS) == 1:
        raise OSError("again")


async def test_a_plain_call_has_a_key_too():
    KEYS.clear()
    await plainly_keyed()
    await plainly_keyed()
    first, second, third = KEYS
    assert first == second != third
    assert current_step() is None
    with pytest.raises(DurableError, match="no step is running"):
        step_key()


@everywhere(plain=False)
async def test_a_key_is_the_same_after_a_crash():
    first = await keyed()
    for _ in range(2):
        first += await keyed(True)
    return first


class Socket:
    def __reduce__(self):
        raise TypeError("a socket cannot be pickled")


@step
async def connected():
    note("effect")
    return Socket()


async def test_a_result_that_cannot_be_saved_is_named():
    with pytest.raises(NotPersistableError, match=r"result of step tests.steps.test_steps.connected \(.*Socket\)"):
        await run(connected)


class FailingStore(InMemoryStateStore):
    fails = False

    def commit(self, *args):
        if self.fails:
            raise StoreError("the disk is full")
        return super().commit(*args)


async def test_an_error_in_storing_is_none_of_the_steps():
    store = FailingStore()

    @step(retries=3)
    async def effect():
        note("effect")
        store.fails = True

    LOG.clear()
    with pytest.raises(StoreError, match="the disk is full"):
        await program(effect, orchestration_backend=DurableBackend(store), instance_id="it")
    assert LOG == ["effect"]


async def test_steps_without_checkpoints():
    """Where only pauses are saved, a step is tried again and has its key all the same."""

    @make_durable(durability=Durability.PAUSES)
    async def program():
        return await succeeds_in(3, "a"), await keyed(), await keyed(), await step(nested_keyed)()

    async def nested_keyed():
        return await keyed()

    LOG.clear()
    backend = DurableBackend()
    attempts, *found = await program(orchestration_backend=backend, instance_id="it")
    assert attempts == 3 and len(set(found)) == 3


@everywhere()
async def test_calls_that_are_made_before_they_are_awaited():
    calls = [add(number) for number in range(3)]
    named = {"a": add(5), "b": succeeds_in(2, "b"), "thread": add_in_thread(1, 2)}
    totals = [await call for call in calls]
    for name in named:
        totals.append(await named[name])
    try:
        await calls[0]
    except RuntimeError as error:
        return totals, str(error)


@step(retries=9, backoff=backoff.constant(0.01), total_timeout=0.2)
async def hopeless():
    note(current_step().attempt)
    raise OSError("down")


@step
async def tries(function):
    return await function()


@pytest.mark.parametrize("inside", [False, True])
async def test_no_attempt_begins_after_the_time_of_all(inside):
    async def calls():
        return await (tries(hopeless) if inside else hopeless())

    LOG.clear()
    first = RecordingStore()
    with pytest.raises(OSError, match="down"):
        await make_durable(calls)(orchestration_backend=DurableBackend(first), instance_id="it")
    state = next(state for executed, state in first.states if executed == 2)
    await asyncio.sleep(0.2)
    LOG.clear()
    store = RecordingStore(state)
    with pytest.raises(TimeoutError, match=r"hopeless: the total_timeout of 0.2 seconds ended before attempt 3"):
        await make_durable(calls)(orchestration_backend=DurableBackend(store), instance_id="it")
    assert LOG == []


REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


@step
def request_in_thread(number):
    note((number, REQUEST.get(), threading.current_thread() is threading.main_thread()))
    REQUEST.set("of the thread")
    return REQUEST.get()


@everywhere()
async def test_a_thread_sees_the_context_of_its_caller():
    REQUEST.set("a")
    first = await request_in_thread(1)
    REQUEST.set("b")
    return first, await request_in_thread(2), REQUEST.get()


class AsyncCall:
    async def __call__(self, value):
        return note(("async call", value))


class SyncCall:
    def __call__(self, value):
        return note(("call", value))

    async def method(self, value):
        return note(("method", value))

    @classmethod
    def of_the_class(cls, value):
        return note((cls.__name__, value))


@everywhere()
async def test_whatever_can_be_called_can_be_a_step():
    target = SyncCall()
    return [
        await step(AsyncCall())(1),
        await step(target)(2),
        await step(target.method)(3),
        await step(SyncCall.of_the_class)(4),
        await step(functools.partial(target.method, 5))(),
        await step(functools.partial(AsyncCall(), value=6))(),
        await step(lambda: note("lambda"))(),
        await step(len)([1, 2]),
        await step("abc".upper)(),
        await step(int)("7"),
        await step(asyncio.sleep)(0, "slept"),
        [await add(number) for number in range(2)],
        {number: await add(number) for number in range(2)},
        f"{await add(3)}",
    ]


@step
async def in_a_task_group(items):
    """As a library does that knows of no steps."""
    done = {}

    async def one(item):
        done[item] = await add(item)

    async with anyio.create_task_group() as group:
        for item in items:
            group.start_soon(one, item)
    return sorted(done.items())


@step
async def in_a_callback():
    """A step that is called by what the event loop calls."""
    loop = asyncio.get_running_loop()
    result, tasks = loop.create_future(), []

    def called():
        tasks.append(loop.create_task(add(7)))
        tasks[0].add_done_callback(lambda task: result.set_result(task.result()))

    loop.call_soon(called)
    return await result


async def test_steps_that_a_library_calls_run_once():
    async def both():
        return await in_a_task_group([1, 2, 3]), await in_a_callback()

    store = RecordingStore()
    LOG.clear()
    expected = await make_durable(both)(orchestration_backend=DurableBackend(store), instance_id="it")
    assert expected == ([(1, 2), (2, 3), (3, 4)], 8)
    recorded = 0
    for _, state in store.states:
        LOG.clear()
        backend = DurableBackend(RecordingStore(state))
        assert await make_durable(both)(orchestration_backend=backend, instance_id="it") == expected
        left = sum(line[0] == "add" for line in LOG)
        assert 4 - left >= recorded, "what had been recorded ran again"
        recorded = 4 - left
    assert recorded == 4 and len(store.states) > 5


async def test_annotations_are_those_of_the_function():
    @step
    async def charged(amount: int, currency: str = "EUR") -> bool:
        return bool(currency)

    @make_durable
    async def billed(amount: int) -> bool:
        return await charged(amount)

    assert typing.get_type_hints(charged) == {"amount": int, "currency": str, "return": bool}
    assert typing.get_type_hints(billed) == {"amount": int, "return": bool}
