"""The way between a store and its server, where what they say is counted."""

import asyncio
import contextlib


class Wire:
    """Passes on what a store and its server say, and counts for each connection how often the store spoke
    after the server had."""

    def __init__(self, host, port):
        self._there = host, port
        self.turns = []
        self._writers = []
        self._tasks = []

    async def serve(self):
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def _connected(self, reader, writer):
        there = await asyncio.open_connection(*self._there)
        place, last = len(self.turns), "server"
        self.turns.append(0)

        async def pass_on(source, target, who):
            nonlocal last
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    self.turns[place] += who == "store" != last
                    last = who
                    target.write(data)
                    await target.drain()
            target.close()

        self._writers += [writer, there[1]]
        self._tasks.append(asyncio.current_task())
        await asyncio.gather(pass_on(reader, there[1], "store"), pass_on(there[0], writer, "server"))

    async def close(self):
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
