"""A network between a browser and a server on this machine: counts what crosses it, and slows it.

Unlike a browser's own emulation it is the same for pages, their workers and service workers, in
every browser.
"""

import asyncio
import threading
import time

CHUNK_BYTES = 16384


class Network:
    """Forwards a port of its own to a server.

    Attributes:
        port: Where the browser connects.
        received_bytes: What the server sent so far, headers included.
    """

    def __init__(self, server_port: int, *, mbit_s: float = 0, delay_ms: float = 0) -> None:
        """Begins to forward.

        Args:
            server_port: On this machine.
            mbit_s: From the server to the browser, all connections together; 0 is no limit.
            delay_ms: Of a round trip, as is the opening of a connection.
        """
        self.received_bytes = 0
        self._server_port = server_port
        self._s_per_byte = 8 / (mbit_s * 1e6) if mbit_s else 0.0
        self._one_way_s = delay_ms / 2e3
        self._free_at_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        opening = asyncio.start_server(self._connect, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Ends it and all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        await asyncio.sleep(2 * self._one_way_s)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(reader, to_server, is_answer=False))
                both.create_task(self._forward(theirs, writer, is_answer=True))
        except* ConnectionError:
            pass
        finally:
            writer.close()
            to_server.close()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sending = asyncio.create_task(send(due, target))
        data = b"-"
        while data:
            data = await source.read(CHUNK_BYTES)
            at_s = time.monotonic()
            if is_answer:
                self.received_bytes += len(data)
                at_s = max(at_s, self._free_at_s) + len(data) * self._s_per_byte
                self._free_at_s = at_s
            due.put_nowait((at_s + self._one_way_s, data))
        await sending


async def send(due: "asyncio.Queue[tuple[float, bytes]]", target: asyncio.StreamWriter) -> None:
    """Each part when it is due; the empty one ends it."""
    data = b"-"
    while data:
        at_s, data = await due.get()
        await asyncio.sleep(max(0.0, at_s - time.monotonic()))
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
