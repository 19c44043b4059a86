"""Fyers: API v3."""

from brokers.base import Broker
from brokers.fyers import instruments
from brokers.fyers.auth import FyersAuth
from brokers.fyers.client import FyersClient
from brokers.fyers.mapping import failure
from brokers.fyers.postback import read_postback
from brokers.fyers.spec import SPEC
from brokers.fyers.stream import FyersOrderStream, FyersPriceStream

BROKER = Broker(
    spec=SPEC,
    auth_class=FyersAuth,
    client_class=FyersClient,
    failure=failure,
    price_stream=FyersPriceStream,
    order_stream=FyersOrderStream,
    master_rows=instruments.master_rows,
    instrument=instruments.instrument,
    read_postback=read_postback,
)
