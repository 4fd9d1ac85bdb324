"""A function that sleeps, waits for a person, and survives whatever happens meanwhile.

python -m examples.quickstart          starts Ada's onboarding; it stops where it waits for her
python -m examples.quickstart yes      she confirms; it goes on from there, in a new process
"""

import asyncio
import sys

from durable_ast import DurableBackend, PauseForEventException, SQLiteStore, make_durable, wait_for_event


@make_durable
async def onboard(name: str) -> str:
    for mail in ("welcome", "first steps", "what others do"):
        print(f"mail to {name}: {mail}")
        await asyncio.sleep(0.1)
    answer = await wait_for_event("confirmed", timeout=3 * 86400)
    return f"{name} said {answer}"


async def main(answer: str | None) -> None:
    backend = DurableBackend(SQLiteStore("quickstart.db"))
    if answer is not None:
        backend.publish_event("onboard-ada", "confirmed", answer)
    try:
        print(await onboard("Ada", instance_id="onboard-ada", orchestration_backend=backend))
    except PauseForEventException as pause:
        print(f"waits for {pause.event!r}: python -m examples.quickstart yes")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
