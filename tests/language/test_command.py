"""Functions in ``python -c TEXT`` are durable too."""

import subprocess
import sys

TEXT = """
import asyncio, os, sys
from durable_ast import make_durable

@make_durable
async def main():
    async def double(number):
        await asyncio.sleep(0)
        return 2 * number
    results = [await double(number) for number in range(3)]
    if not os.path.exists("died"):
        open("died", "w").close()
        os._exit(9)
    return results

print(asyncio.run(main(instance_id="it")))
"""


def test_it_is_killed_and_goes_on(tmp_path):
    command = [sys.executable, "-B", "-c", TEXT]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 9
    again = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert again.stdout == "[0, 2, 4]\n"
