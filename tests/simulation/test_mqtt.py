"""The simulated MQTT: its packets, whatever is sent to it, and a client's library that cannot tell it from another."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from brokers.simulation.mqtt import (
    LARGEST,
    Kind,
    Login,
    Malformed,
    NotAdmitted,
    Packets,
    ReturnCode,
    connack,
    connect,
    packet,
    published,
    suback,
    unsuback,
    wish,
)
from brokers.simulation.server import SimulatedBrokers

# As the standard prints it: MQTT, level 4, name and password and a clean session, 20 seconds, "tm", "A1", "pw".
CONNECT = bytes.fromhex("00044d515454 04 c2 0014 0002746d 00024131 00027077")
SUBSCRIBE = bytes.fromhex("0001 0003612f62 00 0003632f64 00")


def read(data: bytes) -> list[tuple[Kind, bytes]]:
    return list(Packets().take(data))


class TestPackets:
    def test_as_the_standard_has_them(self) -> None:
        assert connect(CONNECT) == Login("tm", "A1", "pw", 20)
        assert wish(Kind.SUBSCRIBE, SUBSCRIBE) == (1, ["a/b", "c/d"])
        assert wish(Kind.UNSUBSCRIBE, bytes.fromhex("0002 0003612f62")) == (2, ["a/b"])
        assert connack(4).hex() == "20020004"
        assert suback(1, [0, 0x80]).hex() == "900400010080"
        assert unsuback(2).hex() == "b0020002"
        assert published(b"a/b", b"xyz").hex() == "30080003612f6278797a"

    @pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, LARGEST])
    def test_a_length_survives(self, size: int) -> None:
        data = bytearray(packet(Kind.SUBSCRIBE, bytes(size)))
        data[0] |= 2
        assert read(bytes(data)) == [(Kind.SUBSCRIBE, bytes(size))]

    @given(st.lists(st.binary(max_size=300), max_size=5), st.data())
    def test_it_does_not_matter_where_they_are_cut(self, bodies: list[bytes], data: st.DataObject) -> None:
        sent = b"".join(packet(Kind.CONNECT, body) for body in bodies)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
        packets = Packets()
        pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
        assert [each for piece in pieces for each in packets.take(piece)] == [(Kind.CONNECT, body) for body in bodies]

    @pytest.mark.parametrize(
        "sent",
        ["00", "11 00", "80 00", "f0 00", "20 00", "10 ffffffff", "10 ffffff7f", "10 818010", "c1 00"],
    )
    def test_what_no_client_may_send_is_malformed(self, sent: str) -> None:
        with pytest.raises(Malformed):
            read(bytes.fromhex(sent))

    @given(st.binary(max_size=400))
    def test_no_bytes_crash_the_reader(self, noise: bytes) -> None:
        try:
            read(noise)
        except Malformed:
            return

    @given(st.binary(max_size=80), st.sampled_from([b"", CONNECT[:6], CONNECT[:10], CONNECT]))
    def test_no_connect_crashes_it(self, noise: bytes, start: bytes) -> None:
        try:
            assert isinstance(connect(start + noise), Login)
        except (Malformed, NotAdmitted):
            return

    @given(st.binary(max_size=80), st.sampled_from([Kind.SUBSCRIBE, Kind.UNSUBSCRIBE]))
    def test_no_wish_crashes_it(self, noise: bytes, kind: Kind) -> None:
        try:
            number, topics = wish(kind, noise)
        except Malformed:
            return
        assert number
        assert all(topics)

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (CONNECT[:6] + b"\x05" + CONNECT[7:], ReturnCode.LEVEL),
            (CONNECT[:7] + b"\x00\x00\x14\x00\x00", ReturnCode.IDENTIFIER),
            (CONNECT[:-2] + b"\xff\xff", ReturnCode.LOGIN),
        ],
    )
    def test_what_is_refused_with_a_code(self, body: bytes, code: ReturnCode) -> None:
        with pytest.raises(NotAdmitted) as refused:
            connect(body)
        assert refused.value.code is code

    @pytest.mark.parametrize(
        "body",
        [
            CONNECT[:-1],
            CONNECT + b"\0",
            CONNECT[:7] + b"\xc3" + CONNECT[8:],
            CONNECT[:7] + b"\x42" + CONNECT[8:],
            b"\0\4MQTX" + CONNECT[6:],
            b"",
        ],
    )
    def test_what_is_malformed(self, body: bytes) -> None:
        with pytest.raises(Malformed):
            connect(body)

    @pytest.mark.parametrize("body", ["", "0001", "0000 0001 61 00", "0001 0000 00", "0001 0001 61 03", "0001 0001 61"])
    def test_a_wish_that_is_malformed(self, body: str) -> None:
        with pytest.raises(Malformed):
            wish(Kind.SUBSCRIBE, bytes.fromhex(body))


# --- over a socket ----------------------------------------------------------------------------------------------------
SLUG = "iifl_capital"


@pytest.fixture(scope="module")
def capital() -> Iterator[SimulatedBrokers]:
    with SimulatedBrokers([SLUG]) as simulated:
        yield simulated


@pytest.fixture
def port(capital: SimulatedBrokers) -> int:
    return int(str(capital.brokers[SLUG]["stream_url"]).rpartition(":")[2])


def client(username: str, password: str) -> paho.Client:
    made = paho.Client(CallbackAPIVersion.VERSION2, client_id="tester", protocol=paho.MQTTv311)
    made.username_pw_set(username, password)
    return made


def said_to(port: int, *sent: bytes) -> bytes:
    """What comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire:
        for each in sent:
            wire.sendall(each)
        heard = b""
        while more := wire.recv(4096):
            heard += more
        return heard


class TestConnections:
    def test_a_published_client_is_told_prices(self, capital: SimulatedBrokers, port: int) -> None:
        user, token = live(capital)
        heard: list[tuple[str, bytes]] = []
        steps = {name: threading.Event() for name in ("connected", "subscribed", "told", "left")}
        paho_client = client(user, f"OPENID~~{token}~")
        codes: list[Any] = []

        def on_connect(who: paho.Client, data: object, flags: object, code: Any, properties: object) -> None:
            codes.append(code)
            steps["connected"].set()

        def on_subscribe(who: paho.Client, data: object, number: int, granted: Any, properties: object) -> None:
            codes.extend(granted)
            steps["subscribed"].set()

        def on_message(who: paho.Client, data: object, message: paho.MQTTMessage) -> None:
            heard.append((message.topic, message.payload))
            steps["told"].set()

        paho_client.on_connect, paho_client.on_subscribe, paho_client.on_message = on_connect, on_subscribe, on_message
        paho_client.on_unsubscribe = lambda *told: steps["left"].set()
        paho_client.connect("127.0.0.1", port, keepalive=20)
        paho_client.loop_start()
        try:
            assert steps["connected"].wait(20)
            topic = "prod/marketfeed/mw/v1/nseeq/1594"
            paho_client.subscribe([(topic, 0), (f"prod/updates/order/v1/{user}", 0), ("prod/#", 0)])
            assert steps["subscribed"].wait(20)
            assert steps["told"].wait(20)
            paho_client.unsubscribe(topic)
            assert steps["left"].wait(20)
        finally:
            paho_client.disconnect()
            paho_client.loop_stop()
        assert [code.value for code in codes] == [0, 0, 0, 128]
        assert [(topic, len(payload)) for topic, payload in heard] == [(topic, 188)]

    @pytest.mark.parametrize("wrong", ["token", "user", "form"])
    def test_a_wrong_login_is_refused(self, capital: SimulatedBrokers, port: int, wrong: str) -> None:
        user, token = live(capital)
        sent = {"token": (user, "OPENID~~x~"), "user": ("4711", f"OPENID~~{token}~"), "form": (user, token)}[wrong]
        refused = threading.Event()
        paho_client = client(*sent)
        paho_client.on_connect = lambda *told: refused.set() if told[3].value == 134 else None
        paho_client.connect("127.0.0.1", port)
        while paho_client.loop(0.1) is MQTTErrorCode.MQTT_ERR_SUCCESS:
            pass
        assert refused.is_set()

    def test_a_ping_is_answered_and_a_farewell_closes(self, capital: SimulatedBrokers, port: int) -> None:
        ping, farewell = packet(Kind.PINGREQ), packet(Kind.DISCONNECT)
        assert said_to(port, logged_in(capital), ping, farewell) == connack() + packet(Kind.PINGRESP)

    @pytest.mark.parametrize(
        "first", [packet(Kind.PINGREQ), b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff", packet(Kind.CONNECT)]
    )
    def test_who_does_not_begin_properly_is_cut_off(self, port: int, first: bytes) -> None:
        assert said_to(port, first) == b""

    @pytest.mark.parametrize("second", ["connect", "publish", "malformed"])
    def test_so_is_who_goes_on_improperly(self, capital: SimulatedBrokers, port: int, second: str) -> None:
        sent = {"connect": logged_in(capital), "publish": published(b"a", b"b"), "malformed": b"\x82\x01\x00"}[second]
        assert said_to(port, logged_in(capital), sent) == connack()

    def test_down_is_its_port_too(self, capital: SimulatedBrokers, port: int) -> None:
        capital.control.set_fault(SLUG, "down")
        with pytest.raises(ConnectionRefusedError):
            said_to(port)
        capital.control.clear_faults(SLUG)
        assert said_to(port, logged_in(capital), packet(Kind.DISCONNECT)) == connack()


def live(capital: SimulatedBrokers) -> tuple[str, str]:
    """The client's number and a live token."""
    known = capital.brokers[SLUG]
    back = capital.login(
        SLUG, f"{known['login_url']}?v=1&appkey={known['api_key']}&redirecturl={known['redirect_uri']}"
    )
    checksum = hashlib.sha256((back["clientId"] + back["authCode"] + known["api_secret"]).encode()).hexdigest()
    url = f"{known['base_url']}/v1/getusersession"
    return back["clientId"], requests.post(url, json={"checkSum": checksum}, timeout=20).json()["userSession"]


def logged_in(capital: SimulatedBrokers) -> bytes:
    user, token = live(capital)
    fields = ("tm", user, f"OPENID~~{token}~")
    texts = (len(text).to_bytes(2, "big") + text.encode() for text in fields)
    return packet(Kind.CONNECT, CONNECT[:10] + b"".join(texts))
