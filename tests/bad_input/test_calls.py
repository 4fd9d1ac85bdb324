"""Calls with the wrong arguments, ids, or backends: refused before anything is stored."""

import pytest

from durable_ast import (
    DiskStateStore,
    DurableBackend,
    InMemoryStateStore,
    InstanceConflictError,
    InvalidInstanceIdError,
    PauseForEventException,
    SQLiteStore,
    make_durable,
    wait_for_event,
)


@make_durable
async def greet(name: str, /, *, greeting: str = "hello") -> str:
    await wait_for_event("allow")
    return f"{greeting} {name}"


@make_durable
async def other(name: str) -> str:
    await wait_for_event("allow")
    return name


@pytest.fixture(params=["memory", "disk", "sqlite"])
def backend(request, tmp_path):
    stores = {
        "memory": InMemoryStateStore,
        "disk": lambda: DiskStateStore(tmp_path / "folder"),
        "sqlite": lambda: SQLiteStore(tmp_path / "durable.db"),
    }
    return DurableBackend(stores[request.param]())


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("Ada", "Bob"), {}),
        ((), {"name": "Ada"}),
        (("Ada",), {"greating": "hi"}),
        ((), {"greeting": "hi"}),
        (("Ada", "hi"), {"greeting": "hi"}),
    ],
)
async def test_wrong_arguments_are_refused_by_the_call_itself(backend, args, kwargs):
    with pytest.raises(TypeError, match="greet"):
        greet(*args, **kwargs, orchestration_backend=backend, instance_id="it")
    assert await backend.load_state("it") is None


async def test_no_arguments_for_a_new_instance(backend):
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        await greet(orchestration_backend=backend, instance_id="it")
    assert await backend.load_state("it") is None


async def test_no_arguments_are_needed_to_go_on(backend):
    with pytest.raises(PauseForEventException):
        await greet("Ada", orchestration_backend=backend, instance_id="it")
    backend.publish_event("it", "allow")
    assert await greet(orchestration_backend=backend, instance_id="it") == "hello Ada"


async def test_an_id_that_belongs_to_another_program(backend):
    with pytest.raises(PauseForEventException):
        await greet("Ada", orchestration_backend=backend, instance_id="it")
    with pytest.raises(InstanceConflictError, match=r"'it' runs .*greet, not .*other"):
        await other("Ada", orchestration_backend=backend, instance_id="it")
    backend.publish_event("it", "allow")
    assert await greet("Ada", orchestration_backend=backend, instance_id="it") == "hello Ada"
    with pytest.raises(InstanceConflictError):
        await other("Ada", orchestration_backend=backend, instance_id="it")


async def test_an_id_that_was_used_with_other_arguments(backend):
    with pytest.raises(PauseForEventException):
        await greet("Ada", orchestration_backend=backend, instance_id="it")
    for args, kwargs in ((("Bob",), {}), (("Ada",), {"greeting": "bye"})):
        with pytest.raises(InstanceConflictError, match=r"'it'.*other arguments"):
            await greet(*args, **kwargs, orchestration_backend=backend, instance_id="it")
    backend.publish_event("it", "allow")
    assert await greet("Ada", greeting="hello", orchestration_backend=backend, instance_id="it") == "hello Ada"
    with pytest.raises(InstanceConflictError):
        await greet("Bob", orchestration_backend=backend, instance_id="it")


ODD_IDS = (
    "a/b/../../c", "..", ".", "/etc/passwd", "~", "a" * 512, "🐍" * 512, "ünï-日本", "e\u0301 is not \u00e9", "\u202egnp",
    " ", "line\nbreak", "tab\t", "'; DROP TABLE instances; --", "%s %n {0}", "*?[x]", "C:\\x", "CON", "-rf", "\x01\x7f",
    "\ufeff", "\U0010ffff", "x.pkl", "x.lock", "x.mail",
)  # fmt: skip


@pytest.mark.parametrize("name", ODD_IDS, ids=lambda name: ascii(name[:12]))
async def test_an_instance_id_is_any_text(backend, name):
    with pytest.raises(PauseForEventException) as pause:
        await greet("Ada", orchestration_backend=backend, instance_id=name)
    assert pause.value.instance_id == name
    assert await backend.load_state(name + "x" if len(name) < 512 else name[:-1]) is None
    backend.publish_event(name, "allow")
    assert await greet("Ada", orchestration_backend=backend, instance_id=name) == "hello Ada"


async def test_odd_ids_are_told_apart(backend):
    """Whatever a file system takes for the same name."""
    for name in ODD_IDS:
        backend.publish_event(name, "allow")
        assert await greet(name, orchestration_backend=backend, instance_id=name) == f"hello {name}"
    for name in ("x", "X", "a/b", "a_b", "a%2Fb", "e\u0301", "\u00e9"):
        backend.publish_event(name, "allow")
        assert await greet(name, orchestration_backend=backend, instance_id=name) == f"hello {name}"


def test_ids_lead_nowhere_outside_of_the_folder(tmp_path):
    store = DiskStateStore(tmp_path / "folder" / "states")
    backend = DurableBackend(store)
    for name in ODD_IDS:
        backend.publish_event(name, "allow").result()
    assert {file.name for file in tmp_path.iterdir()} == {"folder"}
    assert {file.name for file in (tmp_path / "folder").iterdir()} == {"states"}


@pytest.mark.parametrize(
    "name", ["", "a" * 513, "nul\0", "\0", "\ud800", 7, b"bytes", ("a",)], ids=lambda name: ascii(name)[:12]
)
async def test_ids_that_are_refused(backend, name):
    with pytest.raises(InvalidInstanceIdError, match="instance id"):
        await greet("Ada", orchestration_backend=backend, instance_id=name)
    with pytest.raises(InvalidInstanceIdError, match="instance id"):
        backend.publish_event(name, "allow")
    with pytest.raises(InvalidInstanceIdError, match="instance id"):
        await backend.load_state(name)


@pytest.mark.parametrize("given", ["sqlite:///x.db", InMemoryStateStore(), 7], ids=["url", "store", "number"])
async def test_what_is_no_backend(given):
    with pytest.raises(TypeError, match=r"DurableBackend\(store\)"):
        await greet("Ada", orchestration_backend=given, instance_id="it")
