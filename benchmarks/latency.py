"""A line to a server on this machine that takes as long as a real one: bytes arrive later, and in order.

python -m benchmarks.latency PORT SECONDS      prints the port it listens at
"""

import asyncio
import sys

_PIECE = 1 << 18


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Pass on what comes, each piece when it is due; many pieces are on their way at once."""
    clock = asyncio.get_running_loop().time
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def receive() -> None:
        while True:
            try:
                data = await reader.read(_PIECE)
            except ConnectionError:
                data = b""
            under_way.put_nowait((clock() + delay, data))
            if not data:
                return

    receiving = asyncio.create_task(receive())
    try:
        while True:
            due, data = await under_way.get()
            if (left := due - clock()) > 0:
                await asyncio.sleep(left)
            if not data:
                return
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        receiving.cancel()
    finally:
        writer.close()


async def serve(target: int, round_trip: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(carry(reader, back, round_trip / 2), carry(there, writer, round_trip / 2))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
