"""MQTT as a socket: connected, refused, cut off, and left. The feeds of simulated brokers are in `test_real_feeds`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from brokers.secret import Secret
from brokers.simulation import mqtt as simulated
from brokers.simulation.mqtt import Kind, Login, Packets, ReturnCode
from brokers.streaming import Opening
from market import mqtt
from market.mqtt import MqttClosed, MqttRefused, MqttSocket
from market.sockets import opened
from tests.market.feed_rig import WordStream, eventually


class Client:
    """The other end: the packets of a client, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._packets = reader, writer, Packets()
        self._whole: list[tuple[Kind, bytes]] = []

    async def packet(self) -> tuple[Kind, bytes]:
        while not self._whole:
            data = await self._reader.read(4096)
            if not data:
                raise EOFError
            self._whole += self._packets.take(data)
        return self._whole.pop(0)

    def say(self, *packets: bytes) -> None:
        self._writer.writelines(packets)


Script = Callable[[Client], Awaitable[None]]


@asynccontextmanager
async def broker(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A broker that follows a script with each client, and then waits until it leaves."""
    talking: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talking.add(asyncio.create_task(talk(reader, writer)))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(Client(reader, writer))
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)


def address(port: int, scheme: str = "mqtt", host: str = "127.0.0.1") -> Opening:
    return Opening(url=Secret(f"{scheme}://{host}:{port}"), username=Secret("A1"), password=Secret("pw"))


async def connected(port: int) -> MqttSocket:
    socket = await mqtt.opened(address(port))
    assert isinstance(socket, MqttSocket)
    return socket


async def welcome(client: Client) -> Login:
    kind, body = await client.packet()
    assert kind is Kind.CONNECT
    client.say(simulated.connack())
    return simulated.connect(body)


async def until_it_leaves(client: Client, left: asyncio.Event) -> None:
    with suppress(EOFError):
        while (await client.packet())[0] is not Kind.DISCONNECT:
            pass
    left.set()


async def patient(client: Client) -> None:
    """Answer every wish, refusing topics that begin with `no`, until the client leaves."""
    await welcome(client)
    while True:
        kind, body = await client.packet()
        if kind is Kind.DISCONNECT:
            return
        number, topics = simulated.wish(kind, body)
        codes = [0x80 if topic.startswith("no") else 0 for topic in topics]
        client.say(simulated.suback(number, codes) if kind is Kind.SUBSCRIBE else simulated.unsuback(number))
        client.say(*(simulated.published(topic.encode(), kind.name.encode()) for topic in topics))


class TestOpening:
    async def test_the_credentials_and_the_terms(self) -> None:
        logins: list[Login] = []

        async def script(client: Client) -> None:
            logins.append(await welcome(client))
            assert (await client.packet())[0] is Kind.DISCONNECT
            logins.append(logins[0])

        async with broker(script) as port:
            socket = await opened(address(port), WordStream(None, None))  # type: ignore[arg-type]
            await socket.close()
            await eventually(lambda: len(logins) == 2)
        assert (logins[0].username, logins[0].password, logins[0].keep_alive) == ("A1", "pw", 20)
        assert logins[0].client_id

    async def test_every_connection_has_a_name_of_its_own(self) -> None:
        names: list[str] = []

        async def script(client: Client) -> None:
            names.append((await welcome(client)).client_id)
            await client.packet()

        async with broker(script) as port:
            for socket in [await connected(port), await connected(port)]:
                await socket.close()
        assert len(set(names)) == 2

    @pytest.mark.parametrize(("code", "read"), [(2, 2), (3, 3), (4, 4), (5, 5), (99, 0)])
    async def test_a_refusal_has_the_code_of_the_wire(self, code: int, read: int) -> None:
        async def script(client: Client) -> None:
            await client.packet()
            client.say(simulated.connack(code))

        async with broker(script) as port:
            with pytest.raises(MqttRefused) as refused:
                await connected(port)
        assert refused.value.code == read

    async def test_another_version_is_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mqtt, "ANSWER_SECONDS", 0.05)

        async def script(client: Client) -> None:
            await client.packet()
            client.say(simulated.connack(ReturnCode.LEVEL))

        async with broker(script) as port:
            with pytest.raises(MqttClosed):
                await connected(port)

    async def test_nobody_there(self) -> None:
        async with broker(patient) as port:
            pass
        with pytest.raises(MqttClosed):
            await connected(port)

    async def test_nobody_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mqtt, "ANSWER_SECONDS", 0.05)
        left = asyncio.Event()

        async def mute(client: Client) -> None:
            await client.packet()
            await until_it_leaves(client, left)

        async with broker(mute) as port:
            with pytest.raises(MqttClosed):
                await connected(port)
            await eventually(left.is_set)

    @pytest.mark.parametrize("told", range(4))
    async def test_an_end_right_behind_the_welcome(self, told: int) -> None:
        """However many turns of the loop lie between them."""

        async def script(client: Client) -> None:
            await client.packet()
            client.say(simulated.connack(), *[simulated.published(b"a", b"x")] * told)

        async def to_its_end(port: int) -> None:
            socket = await connected(port)
            try:
                while True:
                    await socket.recv()
            finally:
                await socket.close()

        async with broker(script) as port, asyncio.timeout(20):
            with pytest.raises(MqttClosed):
                await to_its_end(port)

    async def test_who_gives_up_while_it_connects_leaves_nothing_behind(self) -> None:
        asked, let_in, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def script(client: Client) -> None:
            kind, _ = await client.packet()
            asked.set()
            await let_in.wait()
            client.say(simulated.connack())
            kind, _ = await client.packet()
            assert kind is Kind.DISCONNECT
            left.set()

        async with broker(script) as port:
            opening = asyncio.create_task(connected(port))
            await asked.wait()
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            let_in.set()
            async with asyncio.timeout(20):
                await left.wait()


class TestFrames:
    async def test_topics_are_asked_for_taken_back_and_refused(self) -> None:
        async with broker(patient) as port:
            socket = await connected(port)
            await socket.send("+a/1\nno/2\na/3")
            assert {await socket.recv() for _ in range(4)} == {
                "!no/2",
                b"a/1\0SUBSCRIBE",
                b"no/2\0SUBSCRIBE",
                b"a/3\0SUBSCRIBE",
            }
            await socket.send("-a/1\na/3")
            assert [await socket.recv() for _ in range(2)] == [b"a/1\0UNSUBSCRIBE", b"a/3\0UNSUBSCRIBE"]
            await socket.ping()
            await socket.close()

    async def test_the_end_is_told_as_often_as_it_is_asked(self) -> None:
        async def leaving(client: Client) -> None:
            await welcome(client)
            number, _ = simulated.wish(*await client.packet())
            client.say(simulated.suback(number, [0]), simulated.published(b"a", b"last"))

        async with broker(leaving) as port:
            socket = await connected(port)
            await socket.send("+a")
            assert await socket.recv() == b"a\0last"
            for _ in range(2):
                with pytest.raises(MqttClosed):
                    await socket.recv()
            with pytest.raises(MqttClosed):
                await socket.send("+a")
            await socket.close()

    @pytest.mark.parametrize("topic", [b"\xff", b"a/#"])
    async def test_a_topic_that_cannot_be_ends_it(self, topic: bytes) -> None:
        left = asyncio.Event()

        async def script(client: Client) -> None:
            await welcome(client)
            number, _ = simulated.wish(*await client.packet())
            client.say(simulated.suback(number, [0]), simulated.published(topic, b"x"))
            await until_it_leaves(client, left)

        async with broker(script) as port:
            socket = await connected(port)
            await socket.send("+a")
            with pytest.raises(MqttClosed):
                await socket.recv()
            await socket.close()
            await eventually(left.is_set)

    async def test_a_wish_without_an_answer_ends_it(self) -> None:
        async def mute(client: Client) -> None:
            await welcome(client)
            while (await client.packet())[0] is not Kind.DISCONNECT:
                pass

        async with broker(mute) as port:
            socket = await connected(port)
            socket._client.timeout = 0.05
            for frame in ("+a", "-a"):
                with pytest.raises(MqttClosed):
                    await socket.send(frame)
            await socket.close()

    async def test_who_does_not_read_is_cut_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mqtt, "MOST_WAITING", 3)

        async def flooding(client: Client) -> None:
            await welcome(client)
            client.say(*(simulated.published(b"a", bytes([number])) for number in range(10)))
            await client.packet()

        async with broker(flooding) as port:
            socket = await connected(port)
            await eventually(socket._hearing.done)
            assert [await socket.recv() for _ in range(3)] == [b"a\0\0", b"a\0\1", b"a\0\2"]
            with pytest.raises(MqttClosed, match="behind"):
                await socket.recv()
            await socket.close()


# --- mqtts ------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of `localhost`, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    place = tmp_path_factory.mktemp("tls")
    (place / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (place / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return place / "certificate.pem", place / "key.pem"


@pytest.fixture
def served(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


class TestCertificates:
    async def test_one_that_is_right(
        self, served: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        async with broker(patient, served) as port:
            socket = await mqtt.opened(address(port, "mqtts", "localhost"))
            await socket.send("+a")
            assert await socket.recv() == b"a\0SUBSCRIBE"
            await socket.close()

    async def test_one_that_nobody_vouches_for(self, served: ssl.SSLContext) -> None:
        async with broker(patient, served) as port:
            with pytest.raises(MqttClosed):
                await mqtt.opened(address(port, "mqtts", "localhost"))

    async def test_one_of_another_host(
        self, served: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        async with broker(patient, served) as port:
            with pytest.raises(MqttClosed):
                await mqtt.opened(address(port, "mqtts", "127.0.0.1"))
