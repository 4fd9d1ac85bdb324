"""A few random programs; `python -m tests.fuzz` runs many."""

from hypothesis import HealthCheck, given, settings

from .oracle import check
from .programs import programs


@settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_a_random_program_is_the_same_everywhere(text):
    check(text)
