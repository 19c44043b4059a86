"""The web server's end: nobody is cut off."""

import signal
import socket
import subprocess
import sys

import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from trademaster.local.redis_server import free_port

# /slow answers only after the WebSocket was closed: it is in flight when the signal comes, on any machine.
SERVER = """
import asyncio, sys
from trademaster.local.web import GracefulServer

closed = asyncio.Event()

async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        closed.set()
        return
    print("request", flush=True)
    await closed.wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in time"})

server = GracefulServer(application=application, endpoints=[f"tcp:port={sys.argv[1]}:interface=127.0.0.1"],
                        signal_handlers=False, ready_callable=lambda: print("ready", flush=True))
server.run()
sys.exit(server.could_not_listen)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_flight_is_answered_and_sockets_are_told(how: signal.Signals):
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        with (
            connect(f"ws://127.0.0.1:{port}/", proxy=None) as socket_client,
            socket.create_connection(("127.0.0.1", port)) as slow,
        ):
            slow.sendall(b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert server.stdout.readline() == "request\n"
            server.send_signal(how)
            with pytest.raises(ConnectionClosed) as caught:
                socket_client.recv(timeout=10)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
            answer = b"".join(iter(lambda: slow.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"in time" in answer
        assert server.wait(10) == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/")


def test_a_port_in_use_is_an_error():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        command = [sys.executable, "-c", SERVER, str(other.getsockname()[1])]
        assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 1
