"""Upstox: API v2 and v3."""

from brokers.base import Broker
from brokers.upstox import instruments
from brokers.upstox.auth import UpstoxAuth
from brokers.upstox.client import UpstoxClient
from brokers.upstox.mapping import failure
from brokers.upstox.postback import read_postback
from brokers.upstox.spec import SPEC
from brokers.upstox.stream import UpstoxOrderStream, UpstoxStream

BROKER = Broker(
    spec=SPEC,
    auth_class=UpstoxAuth,
    client_class=UpstoxClient,
    failure=failure,
    price_stream=UpstoxStream,
    order_stream=UpstoxOrderStream,
    master_rows=instruments.master_rows,
    instrument=instruments.instrument,
    read_postback=read_postback,
)
