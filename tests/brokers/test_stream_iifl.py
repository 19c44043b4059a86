"""XTS's published messages decode to the published values, on both sockets; and the packets around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import AppCredentials, Exchange, Level, OrderStatus, Product, Session, Side, Streamed, Tick
from brokers.errors import BrokerUnavailable, FeedEnded, NotSupported, RateLimited, SessionEnded
from brokers.iifl import BROKER
from brokers.iifl.sandbox_stream import event
from brokers.iifl.spec import MARKET_API_KEY, MARKET_API_SECRET
from brokers.iifl.stream import IiflOrderStream, IiflStream, open_interest
from brokers.secret import Secret
from brokers.streaming import Alive, BookChanged, Event, OrderUpdate, Refused, SessionOver, Unreadable
from brokers.transport import Endpoints, Transport

PLACE = Path(__file__).parents[1] / "fixtures" / "iifl"
HOST = "https://xts.test"
SUBSCRIPTION = f"{HOST}/apimarketdata/instruments/subscription"
MARKET_KEYS = {MARKET_API_KEY.name: Secret("market-key"), MARKET_API_SECRET.name: Secret("market-secret")}
APP = AppCredentials(api_key=Secret("key"), api_secret=Secret("secret"), extra=MARKET_KEYS)
FACTS = {"userID": "DEMO1", "clientID": "DEMO1", "isInvestor": "yes"}
SESSION = Session(access_token=Secret("token"), feed_token=Secret("feed"), account_id="DEMO1", facts=FACTS)
RELIANCE, INFY = Streamed(Exchange.NSE, "2885"), Streamed(Exchange.NSE, "1594")


def stream() -> IiflStream:
    return IiflStream(APP, SESSION)


def orders() -> IiflOrderStream:
    return IiflOrderStream(APP, SESSION)


def fixture(name: str) -> Any:
    return json.loads((PLACE / f"{name}.json").read_text())


def documents(name: str) -> list[str]:
    """The messages inside an answer, as they travel on the socket."""
    quotes: list[str] = fixture(name)["result"]["listQuotes"]
    return quotes


def told(code: int, document: str) -> Event:
    [found] = stream().received(event(f"{code}-json-full", document))
    return found


def on_the_wall(day: str) -> datetime:
    """UTC of a time on an Indian wall."""
    return datetime.fromisoformat(f"{day}+05:30").astimezone(UTC)


DEPTH = Tick(
    Exchange.NSE,
    "2885",
    Decimal(2559),
    close_price=Decimal("2556.15"),
    at=on_the_wall("2021-10-05T11:35:58"),
    open_price=Decimal("2555.1"),
    high_price=Decimal("2573.15"),
    low_price=Decimal("2551.1"),
    average_price=Decimal("2560.5"),
    volume=Decimal(1458511),
    last_quantity=Decimal(3),
    traded_at=on_the_wall("2021-10-05T11:35:57"),
    buy_quantity=Decimal(150573),
    sell_quantity=Decimal(356995),
    bids=(
        Level(Decimal("2558.9"), Decimal(120), 3),
        Level(Decimal("2558.8"), Decimal(21), 1),
        Level(Decimal("2558.7"), Decimal(25), 1),
        Level(Decimal("2558.65"), Decimal(2), 2),
        Level(Decimal("2558.55"), Decimal(25), 1),
    ),
    asks=(
        Level(Decimal(2559), Decimal(42), 1),
        Level(Decimal("2559.25"), Decimal(154), 4),
        Level(Decimal("2559.3"), Decimal(5), 1),
        Level(Decimal("2559.4"), Decimal(33), 2),
        Level(Decimal("2559.45"), Decimal(198), 1),
    ),
)
TOUCHLINE = Tick(
    Exchange.NSE,
    "2885",
    Decimal("1405.6"),
    close_price=Decimal("1398.2"),
    at=on_the_wall("2026-07-20T05:21:00"),
    open_price=Decimal("1398.2"),
    high_price=Decimal("1405.6"),
    low_price=Decimal("1398.2"),
    average_price=Decimal("1405.6"),
    volume=Decimal(1458511),
    last_quantity=Decimal(3),
    traded_at=on_the_wall("2026-07-20T05:20:59"),
    buy_quantity=Decimal(150573),
    sell_quantity=Decimal(356995),
    bids=(Level(Decimal("1405.5"), Decimal(10), 1),),
    asks=(Level(Decimal("1405.6"), Decimal(12), 1),),
)


class TestMessages:
    def test_a_touchline_has_the_day_and_the_best_of_each_side(self) -> None:
        first, second = (told(1501, document) for document in documents("md_quotes_1501"))
        assert first == TOUCHLINE
        assert isinstance(second, Tick)
        assert (second[:4]) == (Exchange.NSE, "1594", Decimal("1502.3"), Decimal(1510))

    def test_its_figures_may_stand_at_the_root(self) -> None:
        document = json.loads(documents("md_quotes_1501")[0])
        assert told(1501, json.dumps(document | document.pop("Touchline"))) == TOUCHLINE

    def test_full_market_data_has_five_steps(self) -> None:
        """Their times count from 1980 on an Indian wall: 1317900958 is 05-10-2021 11:35:58."""
        assert told(1502, documents("md_quotes_1502")[0]) == DEPTH

    def test_a_last_price_is_flat(self) -> None:
        assert told(1512, documents("md_quotes_1512")[0]) == Tick(
            Exchange.NSE,
            "2885",
            Decimal("1405.6"),
            close_price=Decimal("1398.2"),
            at=on_the_wall("2026-07-20T05:21:00"),
            last_quantity=Decimal(3),
        )

    def test_open_interest_tells_no_price(self) -> None:
        [document] = documents("stream/md_quotes_1510")
        assert told(1510, document) == Alive()
        assert open_interest(document) == 1_234_500

    def test_both_spellings_of_the_last_quantity(self) -> None:
        assert told(1501, changed(LastTradedQunatity=None, LastTradedQuantity=5)) == TOUCHLINE._replace(
            last_quantity=None
        )
        document = documents("md_quotes_1501")[0].replace("Qunatity", "Quantity")
        assert told(1501, document) == TOUCHLINE

    def test_zero_is_no_price_but_a_count(self) -> None:
        figures = {"Close": 0, "Open": 0, "High": "NaN", "Low": "", "AverageTradedPrice": 0, "TotalTradedQuantity": 0}
        tick = told(1501, changed(**figures, LastTradedTime=0, BidInfo={"Size": 0, "Price": 0, "TotalOrders": 0}))
        assert tick == TOUCHLINE._replace(
            close_price=None,
            open_price=None,
            high_price=None,
            low_price=None,
            average_price=None,
            volume=Decimal(0),
            traded_at=None,
            bids=(),
        )
        assert told(1501, changed(LastTradedPrice=0)) == Alive()

    def test_numbers_may_be_texts_with_commas(self) -> None:
        assert told(1501, changed(LastTradedPrice="1,405.60", TotalTradedQuantity="1,458,511")) == TOUCHLINE

    @pytest.mark.parametrize(
        ("segment", "exchange"),
        [(1, "NSE"), (2, "NFO"), (3, "CDS"), (11, "BSE"), (12, "BFO"), (13, "BCD"), (51, "MCX")],
    )
    def test_segments(self, segment: int, exchange: str) -> None:
        document = json.loads(documents("md_quotes_1501")[0]) | {"ExchangeSegment": segment}
        assert told(1501, json.dumps(document)) == TOUCHLINE._replace(exchange=Exchange(exchange))

    @pytest.mark.parametrize(
        "document",
        [
            "",
            "[]",
            "{}",
            '{"ExchangeSegment":1',
            '{"a":' * 50_000,
            '{"ExchangeSegment":[],"ExchangeInstrumentID":1}',
            '{"ExchangeSegment":21,"ExchangeInstrumentID":1,"LastTradedPrice":1}',
            '{"ExchangeSegment":1,"LastTradedPrice":1}',
            '{"ExchangeSegment":1,"ExchangeInstrumentID":1,"LastTradedPrice":-1}',
            '{"ExchangeSegment":1,"ExchangeInstrumentID":1,"LastTradedPrice":1e999999}',
            '{"ExchangeSegment":1,"ExchangeInstrumentID":1,"LastTradedPrice":1e-999999}',
            '{"ExchangeSegment":1,"ExchangeInstrumentID":1,"LastTradedPrice":1,"Bids":[{"Price":1,"TotalOrders":1e99}]}',
            '{"ExchangeSegment":1,"ExchangeInstrumentID":1,"Touchline":1}',
            '"\\ud800"',
        ],
    )
    def test_what_is_no_quote_is_named(self, document: str) -> None:
        assert told(1501, document) == Unreadable("a quote")

    @given(st.sampled_from(sorted(json.loads(documents("md_quotes_1501")[0])["Touchline"])), st.data())
    def test_no_figure_crashes_the_decoder(self, name: str, data: st.DataObject) -> None:
        values = st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just([]) | st.just({})
        assert isinstance(told(1501, changed(**{name: data.draw(values)})), Tick | Alive | Unreadable)


def changed(**figures: object) -> str:
    document = json.loads(documents("md_quotes_1501")[0])
    document["Touchline"] |= figures
    return json.dumps(document)


PACKETS = [
    ("40", [Alive()]),
    ("40/market,", [Alive()]),
    ("43[]", [Alive()]),
    ("3", [Alive()]),
    ("3probe", [Alive()]),
    ("1", [Alive()]),
    ("6", [Alive()]),
    ("41", [SessionOver("The broker does not accept this session any more.")]),
    ('44"Invalid Token"', [SessionOver("The broker does not accept this session any more.")]),
    ('42["logout","{}"]', [SessionOver("Another login has taken this session's place.")]),
    ('42["error","{}"]', [Refused("The broker's stream tells of an error.")]),
    ('42["joined","{}"]', [Alive()]),
    ("", [Unreadable("a packet")]),
    ("7", [Unreadable("a packet")]),
    (b"4", [Unreadable("a packet")]),
    ("4", [Unreadable("a message")]),
    ("451-[]", [Unreadable("a message")]),
    ("42", [Unreadable("an event")]),
    ("42[]", [Unreadable("an event")]),
    ("42[1]", [Unreadable("an event")]),
    ('42{"a":1}', [Unreadable("an event")]),
    ("42" + "[" * 20_000, [Unreadable("an event")]),
]


class TestPackets:
    @pytest.mark.parametrize("kind", [IiflStream, IiflOrderStream])
    @pytest.mark.parametrize(("frame", "events"), PACKETS)
    def test_mean_the_same_on_both_sockets(
        self, kind: type[IiflStream | IiflOrderStream], frame: str | bytes, events: list[Event]
    ) -> None:
        assert kind(APP, SESSION).received(frame) == events

    def test_an_event_may_ask_for_an_acknowledgement_or_hold_an_object(self) -> None:
        [document] = documents("md_quotes_1502")
        assert stream().received(f'4217["1502-json-full",{json.dumps(document)}]') == [DEPTH]
        assert stream().received(f'42/market,["1502-json-full",{document}]') == [DEPTH]

    def test_what_nobody_asked_for_is_passed_over(self) -> None:
        assert told(1505, "{}") == told(1507, "{}") == told(1105, "{}") == Alive()
        assert stream().received(event("1501-json-partial", "t:1_2885,ltp:1")) == [Unreadable("a partial message")]
        assert orders().received(event("1501-json-full", documents("md_quotes_1501")[0])) == [Alive()]

    @pytest.mark.parametrize(
        ("said", "seconds"),
        [
            ('{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}', 4.0),
            ('{"pingInterval":2500}', 2.5),
            ('{"pingInterval":1}', 1.0),
            ('{"pingInterval":0}', 4.0),
            ('{"pingInterval":true}', 4.0),
            ('{"pingInterval":"2500"}', 4.0),
            ("[]", 4.0),
            ("", 4.0),
        ],
    )
    def test_the_first_says_how_often_to_ping_at_least(self, said: str, seconds: float) -> None:
        one, other = stream(), stream()
        assert one.received(f"0{said}") == []
        assert (one.beat_seconds, other.beat_seconds, one.beat()) == (seconds, 4.0, "2")

    @pytest.mark.parametrize(("status", "over"), [(400, True), (401, True), (403, True), (429, False), (503, False)])
    def test_a_refused_handshake(self, status: int, over: bool) -> None:
        assert isinstance(IiflStream.refused(status, {}), SessionOver) is over


class TestOpening:
    def test_the_address_holds_the_token_of_its_application(self) -> None:
        facts = FACTS | {"marketUserID": "DEMO1MD"}
        known = Session(access_token=Secret("token"), feed_token=Secret("feed"), account_id="DEMO1", facts=facts)
        prices = opened(IiflStream(APP, known))
        assert prices == (
            "/apimarketdata/socket.io/",
            {"token": "feed", "userID": "DEMO1MD", "publishFormat": "JSON", "broadcastMode": "Full"},
        )
        assert opened(IiflOrderStream(APP, known)) == (
            "/interactive/socket.io/",
            {"token": "token", "userID": "DEMO1", "apiType": "INTERACTIVE"},
        )
        assert opened(stream())[1]["userID"] == "DEMO1"

    def test_without_a_market_data_session_there_are_no_prices_but_orders(self) -> None:
        bare = Session(access_token=Secret("token"), account_id="DEMO1", facts=FACTS)
        with pytest.raises(FeedEnded):
            opened(IiflStream(APP, bare))
        with pytest.raises(NotSupported):
            opened(IiflStream(replace(APP, extra={}), bare))
        assert opened(IiflOrderStream(APP, bare))[1]["token"] == "token"


def opened(live: IiflStream | IiflOrderStream) -> tuple[str, dict[str, str]]:
    address = urlsplit(live.opening(transport(), "wss://xts.test").url.reveal())
    assert (address.scheme, address.netloc) == ("wss", "xts.test")
    query = {name: value for name, [value] in parse_qs(address.query).items()}
    assert (query.pop("EIO"), query.pop("transport")) == ("3", "websocket")
    return address.path, query


def transport() -> Transport:
    return BROKER.transport(endpoints=Endpoints(base_url=HOST, login_url=HOST))


class TestWishes:
    """Calls, of which every answer is recorded."""

    @pytest.fixture
    def replies(self) -> Iterator[responses.RequestsMock]:
        with responses.RequestsMock() as replies:
            yield replies

    def answer(
        self, replies: responses.RequestsMock, method: str, name: str | None, status: int = 200, **body: Any
    ) -> None:
        said = fixture(name) if name else {"type": "success", "code": "", "description": "", "result": body}
        replies.add(method, SUBSCRIPTION, json=said, status=status)

    def asked(self, wanted: list[Streamed] | None = None) -> list[Event]:
        [wish] = stream().subscribe(wanted or [RELIANCE])
        assert callable(wish)
        return wish(transport())

    def test_carry_segment_and_number_and_the_market_data_token(self, replies: responses.RequestsMock) -> None:
        self.answer(replies, "POST", "stream/md_subscription")
        [nobody] = [Streamed(Exchange.NSE, "26000", index_name="Nifty 50")]
        assert self.asked([RELIANCE, nobody, Streamed(Exchange.MCX, "234230")]) == [DEPTH]
        request = replies.calls[0].request
        assert request.headers["Authorization"] == "feed"
        assert json.loads(request.body or "") == {
            "instruments": [
                {"exchangeSegment": 1, "exchangeInstrumentID": 2885},
                {"exchangeSegment": 51, "exchangeInstrumentID": 234230},
            ],
            "xtsMessageCode": 1501,
        }

    def test_already_subscribed_is_taken_back_and_asked_anew(self, replies: responses.RequestsMock) -> None:
        self.answer(replies, "POST", "stream/md_subscription_already", 400)
        self.answer(replies, "PUT", None)
        self.answer(replies, "POST", "stream/md_subscription")
        assert self.asked() == [DEPTH]
        assert [call.request.method for call in replies.calls] == ["POST", "PUT", "POST"]
        assert len({call.request.body for call in replies.calls}) == 1

    def test_and_is_no_error_even_if_it_stays(self, replies: responses.RequestsMock) -> None:
        self.answer(replies, "POST", "stream/md_subscription_already", 400)
        self.answer(replies, "PUT", "error_bad_request", 400)
        self.answer(replies, "POST", "stream/md_subscription_already", 400)
        assert self.asked() == [Alive()]

    def test_beyond_the_limit_is_refused_and_not_asked_again(self, replies: responses.RequestsMock) -> None:
        self.answer(replies, "POST", "error_session_limit", 400)
        assert self.asked() == [Refused("The broker streams no more instruments here.", "e-session-0004")]

    def test_a_bad_wish_is_refused(self, replies: responses.RequestsMock) -> None:
        self.answer(replies, "POST", "error_bad_request", 400)
        assert self.asked() == [Refused("The broker refused a wish.", "e-property-validation-failed")]

    @pytest.mark.parametrize(
        ("name", "status", "error"),
        [
            ("error_invalid_token", 400, SessionEnded),
            ("error_rate_limited", 429, RateLimited),
            ("error_server", 500, BrokerUnavailable),
        ],
    )
    def test_what_else_goes_wrong_is_raised(
        self, replies: responses.RequestsMock, name: str, status: int, error: type[Exception]
    ) -> None:
        self.answer(replies, "POST", name, status)
        with pytest.raises(error):
            self.asked()

    @pytest.mark.parametrize(
        ("result", "events"),
        [
            ({"listQuotes": []}, [Alive()]),
            ({"listQuotes": ["{", *documents("md_quotes_1502")]}, [Unreadable("a quote"), DEPTH]),
            ({"listQuotes": None}, [Unreadable("the answer to a subscription")]),
            ({}, [Unreadable("the answer to a subscription")]),
        ],
    )
    def test_answers_may_be_poor(
        self, replies: responses.RequestsMock, result: dict[str, Any], events: list[Event]
    ) -> None:
        self.answer(replies, "POST", None, **result)
        assert self.asked() == events

    def test_taking_back(self, replies: responses.RequestsMock) -> None:
        self.answer(replies, "PUT", None)
        [wish] = stream().unsubscribe([RELIANCE])
        assert callable(wish)
        assert wish(transport()) == [Alive()]


class TestOrders:
    def told(self, name: str, row: dict[str, Any]) -> Event:
        [found] = orders().received(event(name, json.dumps(row)))
        return found

    def test_an_order_has_times_for_people(self) -> None:
        update = self.told("order", fixture("stream/socket_order_event"))
        assert isinstance(update, OrderUpdate)
        assert (update.broker_order_id, update.status) == ("1110036119", OrderStatus.PENDING)
        assert update.order is not None
        assert (update.order.tradingsymbol, update.order.quantity, update.order.filled_quantity) == ("335", 1, 0)
        assert update.order.placed_at == on_the_wall("2024-12-27T11:22:47.566038")

    def test_a_fill_has_numbers_for_machines(self) -> None:
        update = self.told("trade", fixture("stream/socket_trade_event"))
        assert isinstance(update, OrderUpdate)
        assert (update.broker_order_id, update.status) == ("1110036119", OrderStatus.FILLED)
        order = update.order
        assert order is not None
        assert (order.exchange, order.tradingsymbol, order.side) == (Exchange.NSE, "BALKRISIND", Side.SELL)
        assert (order.quantity, order.filled_quantity, order.average_price) == (1, 1, Decimal("2853.5"))
        assert (order.product, order.exchange_order_id) == (Product.CNC, "1100000012345678")
        assert order.placed_at == on_the_wall("2024-12-27T11:22:47")

    def test_the_twin_counts(self) -> None:
        row = fixture("stream/socket_trade_event") | {"OrderAverageTradedPrice": "about 2,853"}
        update = self.told("trade", row)
        assert isinstance(update, OrderUpdate)
        assert update.order is not None
        assert update.order.average_price == Decimal("2853.5")

    @pytest.mark.parametrize("field", ["ProductType", "OrderQuantity", "OrderGeneratedDateTimeAPI"])
    def test_an_order_that_cannot_be_read_whole_has_its_state(self, field: str) -> None:
        row = fixture("stream/socket_trade_event") | {field: "?"}
        assert self.told("trade", row) == OrderUpdate("1110036119", OrderStatus.FILLED)
        row["OrderStatus"] = "Unheard"
        assert self.told("trade", row) == OrderUpdate("1110036119", OrderStatus.UNKNOWN)

    @pytest.mark.parametrize("name", ["position", "tradeConversion"])
    def test_positions_are_to_be_read_again(self, name: str) -> None:
        assert self.told(name, {}) == BookChanged()

    @pytest.mark.parametrize(
        "document", ["", "[]", "{}", '{"AppOrderID":1}', '{"AppOrderID":true,"OrderStatus":"New"}']
    )
    def test_what_is_no_order_is_named(self, document: str) -> None:
        assert orders().received(event("order", document)) == [Unreadable("an event of orders")]

    @given(st.sampled_from(sorted(fixture("stream/socket_trade_event"))), st.data())
    def test_no_order_crashes_the_decoder(self, field: str, data: st.DataObject) -> None:
        values = st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just([]) | st.just({})
        found = self.told("trade", fixture("stream/socket_trade_event") | {field: data.draw(values)})
        assert isinstance(found, OrderUpdate | Unreadable)
