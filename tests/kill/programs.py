"""The functions that are killed, and the log that says what they did.

Every effect is one line, written with one `write` to a file opened with O_APPEND: what stands there
has happened, in this order, whatever became of the process.
"""

import asyncio
import contextlib
import os
import time

from durable_ast import Durability, current_step, make_durable, wait_for_event
from durable_ast import step as durable_step
from durable_ast.backoff import constant

STEPS = 300
STEPS_OF_STEPS = 65


def log(*words: object) -> None:
    """Append a line: the process, then the words."""
    line = " ".join(map(str, (os.getpid(), *words))) + "\n"
    file = os.open(os.environ["KILL_LOG"], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def work(number: int) -> int:
    """Take a little time before and after the effect, so that a kill can hit either side of it."""
    time.sleep(0.001)
    log("step", number)
    time.sleep(0.001)
    return number * number


async def step(number: int) -> int:
    """A step that does not suspend."""
    return work(number)


async def threaded(number: int) -> int:
    """A frame whose step runs in a thread."""
    return await asyncio.to_thread(work, number)


async def pair(first: int, seen: list[int]) -> int:
    """A frame in a frame, with a list that it shares with its caller."""
    one = await step(first)
    seen.append(first)
    return one + await threaded(first + 1)


async def stretch(first: int, seen: list[int]) -> int:
    """Ten steps: loops, a manager and a `finally` around them."""
    total = 0
    try:
        for number in range(first, first + 6, 2):
            total += await pair(number, seen)
        with contextlib.suppress(LookupError):
            for number in range(first + 6, first + 9):
                total += await step(number)
            raise KeyError(first)
    finally:
        total += await step(first + 9)
        seen.append(first + 9)
    return total


@make_durable
async def tour() -> tuple[int, list[int]]:
    """300 steps in nested frames."""
    seen: list[int] = []
    totals = [await stretch(first, seen) for first in range(0, STEPS, 10)]
    return sum(totals), seen


@make_durable(durability=Durability.RELAXED)
async def relaxed_tour() -> tuple[int, list[int]]:
    """The same, with commits that may trail behind."""
    seen: list[int] = []
    totals = [await stretch(first, seen) for first in range(0, STEPS, 10)]
    return sum(totals), seen


@make_durable(durability=Durability.PAUSES)
async def paused_tour() -> int:
    """The same work with checkpoints at pauses only: one after every ten steps."""
    total = 0
    for first in range(0, STEPS // 2, 10):
        total += await stretch(first, [])
        await asyncio.sleep(0.001)
        log("pause", first)
    return total


async def failing() -> None:
    """Fails, and cleans up in many steps."""
    try:
        await step(0)
        raise LookupError("the reason")
    finally:
        log("finally")
        for number in range(1, 60):
            await step(number)


@make_durable
async def clean_up() -> str:
    """Almost all of it happens while an exception is in flight."""
    try:
        await failing()
    except LookupError as error:
        return repr(error)
    return "no error"


@make_durable
async def patient() -> list[object]:
    """Waits, works, sleeps."""
    answers: list[object] = []
    for number in range(8):
        log("waiting", number)
        answers.append(await wait_for_event("answer"))
        await step(number)
        log("sleeping", number)
        await asyncio.sleep(0.05)
    return answers


@make_durable
async def short(number: int) -> int:
    """Three steps, for kills around the very first checkpoint."""
    total = 0
    for index in range(3):
        total += await step(3 * number + index)
    return total


@make_durable
async def collect() -> list[str]:
    """Collects what is published until there is nothing more."""
    letters: list[str] = []
    while (letter := await wait_for_event("letter")) is not None:
        letters.append(letter)
        await step(len(letters))
    return letters


@durable_step(retries=3, backoff=constant(0.002))
async def stubborn(number: int) -> int:
    """Fails twice."""
    current = current_step()
    assert current is not None
    log("attempt", number, current.attempt, current.key)
    time.sleep(0.001)
    if current.attempt < 3:
        raise ConnectionError(f"attempt {current.attempt}")
    return work(number)


@durable_step(retries=10**6, backoff=constant(0.02), total_timeout=2)
async def hopeless() -> None:
    """Fails until its time is over, which goes on while no process is there."""
    log("attempt", current_step().attempt)  # type: ignore[union-attr]
    raise ConnectionError("down")


@make_durable
async def gives_up() -> str:
    """A hopeless step."""
    try:
        await hopeless()
    except (ConnectionError, TimeoutError) as error:
        return type(error).__name__
    return "no error"


@durable_step(retries=1, backoff=constant(1.5))
async def waits_between() -> int:
    """Fails once, then waits long."""
    attempt = current_step().attempt  # type: ignore[union-attr]
    log("attempt", attempt, time.time())
    if attempt == 1:
        raise ConnectionError("down")
    return attempt


@make_durable
async def tries_later() -> int:
    """A step that is tried again when it is due."""
    return await waits_between()


@durable_step
async def unit(number: int, turns: int) -> int:
    """Ends later than those that were started after it."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return work(number)


async def library(numbers: list[int]) -> list[int]:
    """Knows of no instance: units at once, then one after the other."""
    half = len(numbers) // 2
    at_once = await asyncio.gather(*(unit(number, half - index) for index, number in enumerate(numbers[:half])))
    return [*at_once, *[await unit(number, 0) for number in numbers[half:]]]


@make_durable
async def steps_of_steps() -> list[int]:
    """Five calls of the library, of twelve units each, and a stubborn step after each."""
    squares: list[int] = []
    for first in range(0, STEPS_OF_STEPS, 13):
        squares += await durable_step(library)(list(range(first, first + 12)))
        squares.append(await stubborn(first + 12))
    return squares
