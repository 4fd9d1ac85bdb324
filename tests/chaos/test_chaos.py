"""Short runs of the chaos experiment; ``python -m tests.chaos`` makes long ones."""

import pytest

from .chaos import experiment
from .evidence import Effect, check
from .programs import STEPS
from .servers import KINDS


@pytest.mark.parametrize("kind", KINDS)
async def test_no_step_runs_twice_and_no_letter_is_lost(kind, tmp_path):
    if kind != "sqlite":
        pytest.importorskip("psycopg" if kind == "postgres" else "redis")
        if not KINDS[kind].is_installed():
            pytest.fail(f"no server of {kind} is installed; durable-ast[test] brings one")
    server = KINDS[kind](tmp_path)
    try:
        report = await experiment(server, tmp_path, instances=60, seed=7, trouble=0.2, limit=240, most=12)
    finally:
        server.close()
    assert report.disruptions > 0


WHOLE = [Effect(1, 0, "main", step) for step in range(STEPS)]
WHOLE += [Effect(1, 0, arm, step) for arm in ("left", "right") for step in (0, 1)]


def test_the_evidence_of_a_quiet_run_is_accepted():
    assert check(WHOLE, 1, 0, set()) == 0


@pytest.mark.parametrize(
    ("log", "complaint"),
    [
        (WHOLE[1:], "no step between"),
        (WHOLE[:-1], "instance 0 ran"),
        ([*WHOLE, Effect(2, 0, "main", 0)], "after step 5 had begun"),
        ([WHOLE[0], WHOLE[0], *WHOLE[1:]], "ran 2 times in 0 disruptions"),
    ],
)
def test_false_evidence_is_found(log, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check(log, 1, 0, set())
