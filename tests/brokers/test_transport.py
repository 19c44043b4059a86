"""The one HTTP client, against canned replies and against a socket that behaves badly."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import responses
import time_machine

from brokers.domain import ConnectionStatus
from brokers.errors import (
    MAINTENANCE,
    REJECTED_INPUT,
    SUSPENDED,
    TOKEN_EXPIRED,
    BrokerError,
    BrokerUnavailable,
    NotSupported,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    SessionEnded,
    UnexpectedResponse,
)
from brokers.secret import Hidden, Secret
from brokers.transport import LARGEST_BODY, LONGEST_REASON, Deadline, Endpoints, Transport, is_loopback
from brokers.verdicts import LONGEST_PAUSE, Failure

URL = "https://broker.example"
TOKEN = "token-that-nobody-may-see"
ERRORS = {
    (403, "Twice"): SUSPENDED,
    (None, "Twice"): TOKEN_EXPIRED,
    (None, "Dead"): TOKEN_EXPIRED,
    (403, None): REJECTED_INPUT,
    (503, None): MAINTENANCE,
}


def failure(body: Any) -> Failure | None:
    return Failure(body.get("code"), body.get("message")) if isinstance(body, Mapping) and "code" in body else None


def transport(base_url: str = URL, *, seconds: float = 5, **changed: Any) -> Transport:
    return Transport(
        slug="tested",
        endpoints=Endpoints(base_url=base_url, login_url=base_url),
        errors=ERRORS,
        failure=failure,
        deadline=Deadline(seconds),
        **changed,
    )


@pytest.fixture
def canned() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def error_of(act: Callable[[], Any], kind: type[BrokerError]) -> Any:
    with pytest.raises(kind) as caught:
        act()
    assert type(caught.value) is kind
    return caught.value


# --- reading a reply --------------------------------------------------------------------------------------------------
def test_numbers_are_exact(canned: responses.RequestsMock) -> None:
    canned.get(f"{URL}/row", body='{"noise": 0.5999999999999659, "average": 801.78125, "big": 1e3, "count": 7}')
    row = transport().call("GET", "/row")
    assert row == {"noise": Decimal("0.5999999999999659"), "average": Decimal("801.78125"), "big": 1000, "count": 7}
    assert not [value for value in row.values() if isinstance(value, float)]


@pytest.mark.parametrize("body", ["", "<html>", "{", "[" * 20_000, '{"price": 1e99999999999999999999}', "\xff"])
def test_a_reply_that_is_no_json_is_unexpected(canned: responses.RequestsMock, body: str) -> None:
    canned.get(f"{URL}/row", body=body)
    error = error_of(lambda: transport().call("GET", "/row"), UnexpectedResponse)
    assert error.field == "body"


@pytest.mark.parametrize(
    ("status", "code", "kind", "connection_status"),
    [
        (403, "Twice", RequestRefused, ConnectionStatus.SUSPENDED),  # status and code
        (400, "Twice", SessionEnded, ConnectionStatus.TOKEN_EXPIRED),  # then the code
        (403, "Dead", SessionEnded, ConnectionStatus.TOKEN_EXPIRED),
        (403, "Other", RequestRefused, None),  # then the status
        (503, "Other", BrokerUnavailable, ConnectionStatus.MAINTENANCE),
        (429, "Other", RateLimited, ConnectionStatus.RATE_LIMITED),  # then what HTTP says
        (500, "Other", BrokerUnavailable, ConnectionStatus.ERROR),
        (418, "Other", UnexpectedResponse, ConnectionStatus.ERROR),
        (200, "Dead", SessionEnded, ConnectionStatus.TOKEN_EXPIRED),  # a success that carries a failure is a failure
        (200, "Other", UnexpectedResponse, ConnectionStatus.ERROR),
    ],
)
def test_the_table_is_read_from_the_closest_entry(
    canned: responses.RequestsMock,
    status: int,
    code: str,
    kind: type[BrokerError],
    connection_status: ConnectionStatus | None,
) -> None:
    canned.get(f"{URL}/row", json={"code": code}, status=status)
    error = error_of(lambda: transport().call("GET", "/row"), kind)
    assert (error.connection_status, error.vendor_code) == (connection_status, code)


def test_the_brokers_words_are_kept_for_the_person_without_secrets(canned: responses.RequestsMock) -> None:
    canned.get(f"{URL}/row", json={"code": "Dead", "message": f"Bad token {TOKEN}. {'x' * 1000}"}, status=403)
    error = error_of(lambda: transport().call("GET", "/row", secrets=[Secret(TOKEN), Secret("")]), SessionEnded)
    assert error.reason.startswith("Bad token …. xxx")
    assert len(error.reason) == LONGEST_REASON
    assert "Bad token" not in f"{error} {error!r}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("Mon, 23 Nov 2026 05:00:30 GMT", 30),
        ("Mon, 23 Nov 2026 04:00:00 GMT", 0),
        ("Mon, 23 Nov 2026 05:00:30 -0000", None),
        ("soon", None),
        ("\xb2", None),
        ("9" * 400, LONGEST_PAUSE),
    ],
)
def test_both_forms_of_retry_after(canned: responses.RequestsMock, header: str, seconds: float | None) -> None:
    canned.get(f"{URL}/row", json={}, status=429, headers={"Retry-After": header})
    with time_machine.travel(datetime(2026, 11, 23, 5, 0, tzinfo=UTC), tick=False):
        error = error_of(lambda: transport().call("GET", "/row"), RateLimited)
    assert error.retry_after == seconds


def test_a_silent_429_says_no_time(canned: responses.RequestsMock) -> None:
    canned.get(f"{URL}/row", body="slow down", status=429)
    assert error_of(lambda: transport().call("GET", "/row"), RateLimited).retry_after is None


# --- what is sent -----------------------------------------------------------------------------------------------------
def test_headers_of_the_spec_and_of_the_session_are_sent(canned: responses.RequestsMock) -> None:
    canned.get(f"{URL}/row", json={})
    http = transport(headers={"X-Version": "3"})
    http.call("GET", "/row", authorization=Secret(f"token {TOKEN}"), keys={"X-Key": Secret("key")})
    sent = canned.calls[0].request.headers
    assert (sent["X-Version"], sent["Authorization"], sent["X-Key"]) == ("3", f"token {TOKEN}", "key")
    assert sent["User-Agent"] == "TradeMaster"


@pytest.mark.parametrize(
    "host", ["broker.example", "127.0.0.1.example", "127.0.0.1@broker.example", "[::2]", "10.0.0.1"]
)
def test_a_simulation_never_talks_to_a_live_broker(canned: responses.RequestsMock, host: str) -> None:
    http = transport(f"https://{host}", loopback_only=True)
    error_of(lambda: http.call("GET", "/row"), NotSupported)
    assert len(canned.calls) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_loopback_is_loopback(host: str) -> None:
    assert is_loopback(host)


def test_the_log_names_the_call_and_nothing_else(
    canned: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canned.post(f"{URL}/session", json={"code": "Dead", "message": TOKEN, "echo": TOKEN}, status=403)
    http = transport()
    error_of(
        lambda: http.call(
            "POST",
            "/session",
            params={"access_token": TOKEN},
            form={"checksum": TOKEN},
            authorization=Secret(TOKEN),
            writes=True,
        ),
        SessionEnded,
    )
    [record] = [record for record in caplog.records if record.name == "brokers.transport"]
    assert record.getMessage().startswith("tested POST /session: 403 session_ended in ")
    assert TOKEN not in caplog.text


# --- a socket that behaves badly --------------------------------------------------------------------------------------
class BadServer:
    """Answers every connection with `act`, and remembers what it was asked. One thread per connection."""

    def __init__(self, act: Callable[[socket.socket], None]) -> None:
        self.act = act
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed by stop()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while request := read_request(connection):
                self.requests.append(request)
                try:
                    self.act(connection)
                except OSError:
                    return  # the client has gone

    def stop(self) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)


def read_request(connection: socket.socket) -> bytes:
    """Headers and body of one request; empty when the client has hung up."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
    except OSError:
        return b""
    return head + b"\r\n\r\n" + body


def reply(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def bad_server() -> Iterator[Callable[[Callable[[socket.socket], None]], BadServer]]:
    running: list[BadServer] = []

    def start(act: Callable[[socket.socket], None]) -> BadServer:
        running.append(BadServer(act))
        return running[-1]

    yield start
    for server in running:
        server.stop()


Start = Callable[[Callable[[socket.socket], None]], BadServer]


def hang_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def test_a_read_is_asked_once_more_and_no_more(bad_server: Start) -> None:
    server = bad_server(hang_up)
    error_of(lambda: transport(server.url).call("GET", "/row"), BrokerUnavailable)
    assert len(server.requests) == 2


def test_a_write_is_sent_once(bad_server: Start) -> None:
    server = bad_server(hang_up)
    error_of(lambda: transport(server.url).call("POST", "/order", form={"a": "b"}, writes=True), OutcomeUnknown)
    assert len(server.requests) == 1


def test_a_broker_that_never_answers_ends_at_the_deadline(bad_server: Start) -> None:
    server = bad_server(lambda connection: None)
    http = transport(server.url, seconds=0.2)
    error_of(lambda: http.call("POST", "/order", writes=True), OutcomeUnknown)
    http = transport(server.url, seconds=0.2)
    error_of(lambda: http.call("GET", "/row"), BrokerUnavailable)
    assert len(server.requests) == 2


@pytest.mark.parametrize("form", ["length", "chunked"])
def test_a_broker_that_drips_ends_at_the_deadline(bad_server: Start, form: str) -> None:
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        head = b"Content-Length: 1000" if form == "length" else b"Transfer-Encoding: chunked"
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        while not done.wait(0.05):
            connection.sendall(b" " if form == "length" else b"1\r\n \r\n")

    server = bad_server(drip)
    started = time.monotonic()
    error_of(lambda: transport(server.url, seconds=0.3).call("GET", "/row"), BrokerUnavailable)
    assert time.monotonic() - started < 20  # the whole of it would take longer
    done.set()


def test_a_deadline_that_has_passed_asks_nobody(bad_server: Start) -> None:
    server = bad_server(hang_up)
    error_of(lambda: transport(server.url, seconds=0).call("POST", "/order", writes=True), BrokerUnavailable)
    assert server.requests == []


def test_where_nobody_listens_a_write_has_not_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error_of(lambda: transport(f"http://127.0.0.1:{port}").call("POST", "/order", writes=True), BrokerUnavailable)


@pytest.mark.parametrize(("writes", "kind"), [(False, UnexpectedResponse), (True, OutcomeUnknown)])
def test_a_body_larger_than_any_honest_answer_is_not_read(
    bad_server: Start, writes: bool, kind: type[BrokerError]
) -> None:
    bomb = gzip.compress(b" " * (LARGEST_BODY + 1), compresslevel=1)
    server = bad_server(lambda connection: connection.sendall(reply(bomb, Content_Encoding="gzip")))
    error_of(lambda: transport(server.url).call("POST", "/row", writes=writes), kind)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("writes", "kind"), [(False, BrokerUnavailable), (True, OutcomeUnknown)])
@pytest.mark.parametrize(
    "broken",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        reply(b"not gzip at all", Content_Encoding="gzip"),
    ],
)
def test_a_body_that_breaks_off(bad_server: Start, broken: bytes, writes: bool, kind: type[BrokerError]) -> None:
    def cut(connection: socket.socket) -> None:
        connection.sendall(broken)
        hang_up(connection)

    server = bad_server(cut)
    error_of(lambda: transport(server.url).call("POST", "/row", writes=writes), kind)


@pytest.mark.parametrize("status", ["500 No", "503 No"])
def test_a_write_that_ends_in_a_server_error_has_no_verdict(bad_server: Start, status: str) -> None:
    server = bad_server(lambda connection: connection.sendall(reply(status=status)))
    error_of(lambda: transport(server.url).call("POST", "/order", writes=True), OutcomeUnknown)
    assert len(server.requests) == 1


def test_a_refused_write_is_a_verdict(bad_server: Start) -> None:
    server = bad_server(lambda connection: connection.sendall(reply(status="403 No")))
    error_of(lambda: transport(server.url).call("POST", "/order", writes=True), RequestRefused)


def test_compressed_and_chunked_replies_are_read(bad_server: Start) -> None:
    body = gzip.compress(b'{"rows": [' + b"1.5," * 50_000 + b"2]}")
    pieces = [body[start : start + 1000] for start in range(0, len(body), 1000)]

    def chunks(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n")
        for piece in [*pieces, b""]:
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    server = bad_server(chunks)
    http = transport(server.url)
    assert [len(http.call("GET", "/rows")["rows"]) for _ in range(2)] == [50_001, 50_001]


def test_a_redirect_is_not_followed(bad_server: Start) -> None:
    elsewhere = bad_server(lambda connection: connection.sendall(reply()))
    server = bad_server(lambda connection: connection.sendall(reply(status="302 Found", Location=elsewhere.url)))
    error_of(lambda: transport(server.url).call("GET", "/row"), UnexpectedResponse)
    assert elsewhere.requests == []


def test_one_traders_cookies_never_travel_with_anothers_call(bad_server: Start) -> None:
    server = bad_server(lambda connection: connection.sendall(reply(Set_Cookie="session=alices; Path=/")))
    http = transport(server.url)
    http.call("GET", "/row")
    http.call("GET", "/row")
    assert b"cookie" not in server.requests[1].lower()


def test_the_environment_has_no_say(bad_server: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = bad_server(hang_up)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server = bad_server(lambda connection: connection.sendall(reply()))
    assert transport(server.url).call("GET", "/row") == {}
    assert proxy.requests == []


def test_a_hurried_transport_has_a_part_of_the_time_left() -> None:
    whole = transport(seconds=10)
    hurried = whole.hurried()
    assert hurried._deadline is not None
    assert whole._deadline is not None
    assert 6.5 < hurried._deadline.remaining() < 7.1
    assert whole._deadline.remaining() > 9


def test_a_failure_within_a_200_leaves_a_write_in_doubt(canned: responses.RequestsMock) -> None:
    canned.post(f"{URL}/orders", json={"code": "NobodyKnows"}, status=200)
    error_of(lambda: transport().call("POST", "/orders", writes=True), OutcomeUnknown)


def test_what_is_sent_is_exact_too(canned: responses.RequestsMock) -> None:
    canned.post(f"{URL}/orders", json={})
    transport().call("POST", "/orders", json={"price": Decimal("1234567890123.05"), "quantity": 3}, writes=True)
    request = canned.calls[0].request
    assert request.body == b'{"price":1234567890123.05,"quantity":3}'
    assert request.headers["Content-Type"] == "application/json"


def test_a_hidden_text_is_sent_as_it_is_and_a_secret_never(canned: responses.RequestsMock) -> None:
    canned.post(f"{URL}/session", json={})
    transport().call("POST", "/session", json={"pin": Hidden("1234")}, writes=True)
    assert canned.calls[0].request.body == b'{"pin":"1234"}'
    with pytest.raises(TypeError):
        transport().call("POST", "/session", json={"pin": Secret("1234")}, writes=True)
    assert len(canned.calls) == 1


def test_a_path_that_another_host_serves_is_asked_there() -> None:
    endpoints = Endpoints(base_url=URL, login_url=URL, elsewhere={"/orders": "https://orders.example"})
    assert endpoints.address("/orders") == "https://orders.example/orders"
    assert endpoints.address("/orders/7") == f"{URL}/orders/7"
