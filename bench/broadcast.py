"""What is compared with: `websockets` alone, which sends each line that it reads to all its clients."""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve


async def main(port: int) -> None:
    clients: set[ServerConnection] = set()

    async def hold(client: ServerConnection) -> None:
        clients.add(client)
        await client.send("{}")
        await client.wait_closed()

    async with serve(hold, "127.0.0.1", port, compression=None):
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            broadcast(clients, line)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
