"""The web server: at its end nobody is cut off, and before that nobody can occupy it."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from trademaster.local.bounds import LONGEST_BODY
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
server.request_seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
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


@pytest.fixture
def hurried_port() -> Iterator[int]:
    """Of a server that gives a request one second."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", SERVER, str(port), "1"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield port
        server.terminate()


def answered(port: int, *sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for part in sent:
            client.sendall(part)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize(
    "begun",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12",
        b"GET /ws/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    ],
    ids=["headers", "body", "websocket"],
)
def test_whoever_never_finishes_a_request_is_cut_off(begun: bytes, hurried_port: int):
    assert answered(hurried_port, begun).startswith(b"HTTP/1.1 408")


def test_a_body_without_end_is_refused_as_soon_as_it_is_too_long(hurried_port: int):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n"
    assert answered(hurried_port, head, b"x" * (LONGEST_BODY + 1)).startswith(b"HTTP/1.1 413")


def test_chunks_are_counted_too(hurried_port: int):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%s\r\n" % (LONGEST_BODY + 1, b"x" * (LONGEST_BODY + 1))
    assert answered(hurried_port, head, chunk).startswith(b"HTTP/1.1 413")
