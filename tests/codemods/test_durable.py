"""What programs that import ``durable`` become."""

import textwrap

import pytest

from durable_ast.codemods.durable import Durable


def migrated(text):
    after, notes = Durable().migrate(textwrap.dedent(text))
    return after, [(note.line, note.text.partition(" ")[0]) for note in sorted(notes, key=lambda note: note.line)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from durable import Workflow  # ours\n", "from durable_ast import Workflow  # ours\n"),
        ("from durable import *\n", "from durable_ast import *\n"),
        ("import durable\nprint( durable.Workflow )\n", "import durable_ast\nprint( durable_ast.Workflow )\n"),
        ("import durable as d\nd.Workflow\n", "import durable_ast as d\nd.Workflow\n"),
        (
            "import durable.backoff\ndurable.backoff.linear()\n",
            "import durable_ast.backoff\ndurable_ast.backoff.linear()\n",
        ),
        ("from durable.store import InMemoryStore as S\n", "from durable_ast import InMemoryStore as S\n"),
        ("from durable.redis_store import RedisStore\n", "from durable_ast import RedisStore\n"),
        ("from durable.pydantic_ai import DurableAgent\n", "from durable_ast.pydantic_ai import DurableAgent\n"),
        (
            "from durable import make_durable, DurableBackend\n",
            "from durable_ast import make_durable, DurableBackend\n",
        ),
        (
            "from durable import BackoffStrategy, Workflow\nx: BackoffStrategy\n",
            "from durable_ast import Workflow; from durable_ast.backoff import Backoff\nx: Backoff\n",
        ),
        ("def f():\n    from durable import Workflow\n", "def f():\n    from durable_ast import Workflow\n"),
    ],
)
def test_imports_and_names(before, after):
    assert migrated(before)[0] == after


@pytest.mark.parametrize(
    "text",
    [
        "import durables\nfrom .durable import x\nfrom durable_rules import y\n",
        "durable = 1\nprint(durable)\n",
        "f(step_id='x')\n",
    ],
)
def test_what_does_not_use_it_stays(text):
    assert migrated(text) == (text, [])


def test_a_variable_of_that_name_is_another_thing():
    text = "from durable import Workflow\n\ndef f(durable):\n    return durable\n"
    assert migrated(text)[0] == text.replace("from durable ", "from durable_ast ")


def test_what_has_become_needless_is_kept_and_pointed_out():
    text = """
    from durable import Workflow
    wf = Workflow("x")

    @wf.task
    async def fetch(raw: dict) -> dict:
        model = Model.model_validate(raw)
        return model.model_dump()

    @wf.workflow(id="w")
    async def run():
        for i in range(3):
            await fetch({}, step_id=f"item-{i}")
        Model.model_validate(await fetch({}))
        return other.model_dump()
    """
    after, notes = migrated(text)
    assert after == textwrap.dedent(text).replace("durable import", "durable_ast import")
    assert notes == [(7, "model_validate()"), (8, "model_dump()"), (13, "step_id"), (14, "model_validate()")]


def test_private_names_are_pointed_out():
    assert migrated("from durable.context import _active_run\n")[1] == [(1, "_active_run")]


def test_what_is_no_python_is_refused():
    with pytest.raises(SyntaxError):
        migrated("def (:\n")
