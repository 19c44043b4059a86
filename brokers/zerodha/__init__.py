"""Zerodha: Kite Connect v3."""

from brokers.base import Broker
from brokers.zerodha import instruments
from brokers.zerodha.auth import ZerodhaAuth
from brokers.zerodha.client import ZerodhaClient
from brokers.zerodha.mapping import failure
from brokers.zerodha.postback import read_postback
from brokers.zerodha.spec import SPEC
from brokers.zerodha.stream import ZerodhaStream

BROKER = Broker(
    spec=SPEC,
    auth_class=ZerodhaAuth,
    client_class=ZerodhaClient,
    failure=failure,
    master_rows=instruments.master_rows,
    instrument=instruments.instrument,
    price_stream=ZerodhaStream,
    read_postback=read_postback,
)
