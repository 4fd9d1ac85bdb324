"""What `make_durable` is given that it cannot make durable."""

import asyncio
import functools

import pytest

from durable_ast import AlreadyDurableException, DurableError, NoSourceCodeException, explain, make_durable


def sync(number: int) -> int:
    return number


def generator():
    yield 1


async def async_generator():
    yield 1


async def fine():
    await asyncio.sleep(0)


class Class:
    async def method(self): ...


@pytest.mark.parametrize(
    "given",
    [sync, generator, async_generator, lambda: None, Class, Class(), 7, None, "fine", functools.partial(sync, 1), len],
    ids=lambda given: getattr(given, "__name__", type(given).__name__),
)
@pytest.mark.parametrize("use", [make_durable, explain])
def test_what_is_no_async_function_is_refused(given, use):
    if given is None and use is make_durable:
        pytest.skip("make_durable(None) is the decorator with arguments")
    with pytest.raises(TypeError, match="async function"):
        use(given)


def test_the_error_for_a_function_says_where_it_stands_and_what_to_write():
    with pytest.raises(TypeError) as refusal:
        make_durable(sync)
    assert f"{__file__}:{sync.__code__.co_firstlineno}" in str(refusal.value)
    assert "async def" in str(refusal.value)


def test_a_function_without_source():
    namespace = {"__name__": __name__}
    exec("async def made():\n    pass\n", namespace)
    with pytest.raises(NoSourceCodeException, match="made"):
        make_durable(namespace["made"])


def test_a_function_whose_source_was_edited_since_it_was_imported(tmp_path, monkeypatch):
    file = tmp_path / "edited_module.py"
    file.write_text("import asyncio\nasync def before():\n    await asyncio.sleep(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import edited_module

    file.write_text("# moved down\n" * 5 + "async def after():\n    return 1\n")
    with pytest.raises(NoSourceCodeException, match="before"):
        make_durable(edited_module.before)


def test_a_durable_function_is_not_made_durable_again():
    program = make_durable(fine)
    with pytest.raises(AlreadyDurableException, match="fine"):
        make_durable(program)


@pytest.mark.parametrize("options", [{"durability": "strict"}, {"durabilty": None}])
def test_wrong_options(options):
    with pytest.raises((TypeError, ValueError, DurableError)):
        make_durable(fine, **options)
