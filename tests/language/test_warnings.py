"""Warnings around awaits.  PYTEST_DONT_REWRITE"""

import os
import unittest
import warnings

from tests.effects import step
from tests.everywhere import everywhere

case = unittest.TestCase()


def old():
    warnings.warn("it is old", DeprecationWarning, stacklevel=2)


@everywhere()
async def test_warnings_are_caught_on_both_sides_of_an_await():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        old()
        await step(1)
        old()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            await step(2)
            old()
        await step(3)
        old()
    return [(str(w.message), os.path.basename(w.filename), w.lineno) for w in caught]


@everywhere()
async def test_what_was_set_before_comes_back():
    before = len(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await step(1)
        try:
            old()
        except DeprecationWarning as error:
            text = str(error)
        await step(2)
    return text, len(warnings.filters) == before


@everywhere()
async def test_a_test_that_expects_a_warning():
    with case.assertWarns(DeprecationWarning) as found:
        await step(1)
        old()
        await step(2)
    return os.path.basename(found.filename), found.lineno
