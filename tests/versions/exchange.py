"""Write the checkpoints of every program of tests/language, or go on from those of another Python.

    python -m tests.versions.exchange write FILE
    python -m tests.versions.exchange read FILE ...

Reading prints the programs that do not go on as they do when this Python has written the checkpoint.
"""

import asyncio
import importlib
import pickle
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests import language
from tests.everywhere import RecordingStore, outcome, run


def programs() -> Iterator[tuple[str, object]]:
    """The functions that ``@everywhere()`` tests, by module and name; the ones that take arguments
    or events bring these themselves, and are left out."""
    for path in sorted(Path(language.__file__).parent.glob("test_*.py")):
        try:
            module = importlib.import_module(f"tests.language.{path.stem}")
        except ModuleNotFoundError as error:
            if error.name != "pytest":
                raise
            continue  # nothing in it runs without pytest
        for name, test in list(vars(module).items()):
            function = getattr(test, "__wrapped__", None)
            if name.startswith("test_") and function is not None and not function.__code__.co_argcount:
                yield f"{path.stem}.{name}", function


def durably(function: object, state: bytes | None = None) -> tuple[object, list[tuple[int, bytes]]]:
    """The outcome of a function that starts, or goes on from a state, and the states it has saved."""
    store = RecordingStore(state)
    found = asyncio.run(outcome(lambda: run(function, (), store, {}, {})))
    return found, store.states


def write(file: str) -> None:
    """Save the states of all programs."""
    Path(file).write_bytes(pickle.dumps({name: durably(function)[1] for name, function in programs()}))


def read(files: list[str]) -> list[str]:
    """Go on from all states of some files; gives what went differently."""
    states = {file: pickle.loads(Path(file).read_bytes()) for file in files}
    different = []
    for name, function in programs():
        expected = durably(function)[0]
        for file in files:
            number = _first_that_differs(function, expected, states[file].get(name, ()))
            if number is not None:
                different.append(f"{Path(file).name}: {name} from state {number}, instead of {expected}")
    return different


def _first_that_differs(
    function: object, expected: tuple[object, list[object]], states: Iterable[tuple[int, bytes]]
) -> str | None:
    result, log = expected
    for number, (executed, state) in enumerate(states, 1):
        if pickle.loads(state)["status"] == "ERROR":
            continue
        again = durably(function, state)[0]
        if again != (result, log[executed:]):
            return f"{number}: {again}"
    return None


def main(arguments: list[str]) -> int:
    warnings.simplefilter("ignore")
    if arguments[0] == "write":
        write(arguments[1])
        return 0
    different = read(arguments[1:])
    print("\n".join(different), end="")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
