"""Annotations that await: a syntax error since Python 3.14."""

from tests.effects import step
from tests.everywhere import everywhere


@everywhere()
async def test_an_annotation_that_awaits():
    def labelled(a: await step(int), *, b: await step(str) = await step("keyword")):
        return a, b

    return labelled(1), labelled.__annotations__
