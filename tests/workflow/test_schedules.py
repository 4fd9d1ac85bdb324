"""Workflows that are started by the clock."""

import asyncio
import datetime

import pytest

from durable_ast import InMemoryStore, Workflow

UTC = datetime.UTC


def at(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


class Shop:
    """A process with a schedule, and what it has run."""

    def __init__(self, store, **options):
        self.wf = Workflow("shop", db=store)
        self.done = []
        self.gate = asyncio.Event()
        self.gate.set()

        @self.wf.schedule("0 9 * * *", **options)
        async def report(time):
            await self.opened()
            self.done.append(time.isoformat(timespec="minutes"))

        self.report = report

    async def opened(self):
        await self.gate.wait()

    async def clock(self, text):
        await self.wf.scheduler.fire(at(text))
        if self.gate.is_set():
            for run in await self.wf.list():
                await self.wf.handle(run.id).result(timeout=30)


@pytest.fixture
def store():
    return InMemoryStore()


async def test_a_time_starts_one_run_in_all_processes(store):
    one, other = Shop(store), Shop(store)
    for shop in (one, other):
        await shop.clock("2024-01-01 08:00")
    for shop in (one, other, one):
        await shop.clock("2024-01-01 09:00")
    assert one.done + other.done == ["2024-01-01T09:00+00:00"]
    await other.clock("2024-01-02 09:00:30")
    assert other.done == ["2024-01-02T09:00+00:00"]
    assert [run.id for run in await one.wf.list()] == [
        "shop-report@2024-01-02T09:00+00:00",
        "shop-report@2024-01-01T09:00+00:00",
    ]


@pytest.mark.parametrize(("catch_up", "days"), [("none", []), ("latest", [4]), ("all", [2, 3, 4])])
async def test_times_that_were_missed(store, catch_up, days):
    await Shop(store, catch_up=catch_up).clock("2024-01-01 10:00")
    shop = Shop(store, catch_up=catch_up, overlap="allow")
    await shop.clock("2024-01-04 12:00")
    assert sorted(shop.done) == [f"2024-01-0{day}T09:00+00:00" for day in days]
    shop.done.clear()
    await shop.clock("2024-01-05 09:00")
    assert shop.done == ["2024-01-05T09:00+00:00"]


@pytest.mark.parametrize(("overlap", "days"), [("skip", [1]), ("allow", [1, 2])])
async def test_a_run_that_has_not_ended(store, overlap, days):
    shop = Shop(store, overlap=overlap)
    shop.gate.clear()
    for time in ("2024-01-01 08:00", "2024-01-01 09:00", "2024-01-02 09:00"):
        await shop.clock(time)
    shop.gate.set()
    await shop.clock("2024-01-02 10:00")
    assert sorted(shop.done) == [f"2024-01-0{day}T09:00+00:00" for day in days]


async def test_a_time_zone_with_daylight_saving(store):
    shop = Shop(store, tz="Europe/Berlin")
    await shop.clock("2024-03-29 12:00")
    await shop.clock("2024-03-30 08:00")
    await shop.clock("2024-03-31 07:00")
    assert shop.done == ["2024-03-30T09:00+01:00", "2024-03-31T09:00+02:00"]


async def test_a_run_is_not_started_early(store):
    wf = Workflow("shop", db=store)

    @wf.schedule("* * * * *")
    async def tick(time): ...

    for time in ("2024-01-01 08:00", "2024-01-01 08:01:40", "2024-01-01 08:01:59.9"):
        await wf.scheduler.fire(at(time))
    assert [run.id for run in await wf.list()] == ["shop-tick@2024-01-01T08:01+00:00"]


async def test_the_schedules_of_one_function_do_not_count_each_others_times():
    wf = Workflow("shop", db=InMemoryStore())

    @wf.schedule("0 9 * * *", overlap="allow")
    @wf.schedule("0 17 * * *", overlap="allow")
    async def report(): ...

    for time in ("2024-01-01 08:00", "2024-01-01 18:00"):  # both were missed; the later one comes first
        await wf.scheduler.fire(at(time))
    assert sorted(run.id for run in await wf.list()) == [
        "shop-report@2024-01-01T09:00+00:00",
        "shop-report@2024-01-01T17:00+00:00",
    ]


async def test_schedules_of_functions_of_one_name_are_two():
    wf = Workflow("shop", db=InMemoryStore())

    def of_orders():
        @wf.schedule("0 9 * * *")
        async def tick(): ...

    def of_mail():
        @wf.schedule("0 9 * * *")
        async def tick(): ...

    of_orders(), of_mail()
    for time in ("2024-01-01 08:00", "2024-01-01 09:00"):
        await wf.scheduler.fire(at(time))
    assert {run.workflow.split(".")[-3] for run in await wf.list()} == {"of_orders", "of_mail"}


async def test_the_clock_is_watched():
    wf = Workflow("shop", db=InMemoryStore())
    ran = asyncio.Event()

    @wf.schedule("* * * * *")
    async def tick():
        ran.set()

    await wf.instances.save(wf.schedules[0].key, {"passed": "2024-01-01T00:00:00+00:00"})
    async with wf:
        async with asyncio.timeout(30):
            await ran.wait()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cron": "61 * * * *"}, "is no cron expression"),
        ({"cron": 5}, "cron must be a text"),
        ({"tz": "Mars/Olympus"}, "is no time zone"),
        ({"tz": None}, "tz must be a text"),
        ({"overlap": "maybe"}, "overlap must be one of"),
        ({"catch_up": "maybe"}, "catch_up must be one of"),
    ],
)
def test_nonsense_is_refused(arguments, message):
    wf = Workflow("shop", db=InMemoryStore())
    with pytest.raises(ValueError, match=message):

        @wf.schedule(**{"cron": "* * * * *", **arguments})
        async def tick(): ...


def test_a_workflow_that_takes_more_than_the_time_is_refused():
    wf = Workflow("shop", db=InMemoryStore())
    with pytest.raises(ValueError, match=r"starts .*tick\(\) with its time, or with nothing; it takes \(time, shop\)"):

        @wf.schedule("* * * * *")
        async def tick(time, shop): ...

    @wf.schedule("* * * * *")
    async def tock(time, shop="eu", *rest, **more): ...


def test_the_clock_is_watched_in_the_next_event_loop(store):
    shop = Shop(store)

    async def one_loop():
        shop.wf.scheduler.begin()
        await asyncio.sleep(0.05)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(one_loop())
    loop.close()  # with what runs in it, as frameworks do

    async def next_loop():
        async with shop.wf:
            return [task.get_name() for task in asyncio.all_tasks()]

    assert "durable_ast schedules" in asyncio.run(next_loop())
