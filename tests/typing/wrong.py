"""Uses that every type checker must refuse: each line that ends in ``# wrong``, and no other."""

from durable_ast import DurableBackend, SQLiteStore, Workflow, make_durable, step


@make_durable
async def program(count: int, *, loud: bool = False) -> list[str]:
    return ["a"] * count


def sync() -> int:
    return 1


async def calls() -> None:
    await program("three")  # wrong
    await program()  # wrong
    await program(3, True)  # wrong
    await program(3, quiet=True)  # wrong
    await program.run("id-1", "three")  # wrong
    await program.run(3)  # wrong
    await program.fn("three")  # wrong
    await program(3, instance_id=7)  # wrong
    await program(3, orchestration_backend=SQLiteStore("x.db"))  # wrong
    number: int = await program(3)  # wrong
    del number


def options() -> None:
    make_durable(sync)  # wrong
    make_durable(program, strict="yes")  # wrong
    make_durable(program.fn, durability="strict")  # wrong
    DurableBackend("x.db")  # wrong
    DurableBackend().publish_event(7, "paid")  # wrong


@step
async def task(number: int) -> float:
    return float(number)


class Bank:
    @step
    def refund(self, cents: int) -> str:
        return str(cents)


async def steps() -> None:
    await task("one")  # wrong
    await task()  # wrong
    await task(1, step_id=1)  # wrong
    await Bank().refund("three")  # wrong
    step(3)  # wrong
    step(retries="three")  # wrong
    step(no_retry=KeyError)  # wrong


wf = Workflow("types", db=":memory:")


@wf.task
async def fetch(number: int) -> bytes:
    return bytes(number)


@wf.workflow(id="order-{number}")
async def order(number: int) -> str:
    await fetch("one")  # wrong
    text: str = await fetch(1)  # wrong
    await wf.signal("go", timeout="long")  # wrong
    await wf.signal(7)  # wrong
    await wf.map(fetch, ["one"])  # wrong
    return text


async def workflows() -> None:
    await order("seven")  # wrong
    await order()  # wrong
    await order.run(7, 7)  # wrong
    await order.run("id", "seven")  # wrong
    await order.run("id")  # wrong
    await wf.start(order, "seven")  # wrong
    await wf.start(order, 7, id="mine", on_conflict="maybe")  # wrong
    await wf.start(order, 7, on_cancel="maybe")  # wrong
    await wf.start(fetch, 7)  # wrong
    await wf.handle(7).result()  # wrong
    await wf.handle("id").result(timeout="long")  # wrong
    await wf.list(since="yesterday")  # wrong
    await wf.queue("q", concurrency="two").start(order, 7)  # wrong
    await wf.queue("q").start(fetch, 7)  # wrong
    await wf.queue("q").start(order, "seven")  # wrong
    await wf.queue("q").start(order)  # wrong
    await wf.queue("q").start(order, 7, express=True)  # wrong
    await wf.queue("q").start(order, 7, priority="high")  # wrong
    await wf.queue("q").start(order, 7, key="eu", delay="long")  # wrong
    await wf.queue("q").start(order, 7, unique=7)  # wrong
    await wf.queue("q").start(order, 7, debounce=1.0)  # wrong
    await wf.queue("q").start(order, 7, unique="a", id="mine")  # wrong
    number: int = await (await wf.start(order, 7)).result()  # wrong
    await wf.complete(7, "go")  # wrong
    wf.task(retries="many")  # wrong
    wf.task(backoff=3)  # wrong
    wf.workflow(sync)  # wrong
    wf.workflow(id=7)  # wrong
    wf.schedule("* * * * *", overlap="maybe")  # wrong
    Workflow(7)  # wrong
    del number
