"""Angel One: SmartAPI."""

from brokers.angel_one import instruments
from brokers.angel_one.auth import AngelOneAuth
from brokers.angel_one.client import AngelOneClient
from brokers.angel_one.mapping import failure
from brokers.angel_one.postback import read_postback
from brokers.angel_one.spec import SPEC
from brokers.angel_one.stream import AngelOneOrderStream, AngelOneStream
from brokers.base import Broker

BROKER = Broker(
    spec=SPEC,
    auth_class=AngelOneAuth,
    client_class=AngelOneClient,
    failure=failure,
    price_stream=AngelOneStream,
    order_stream=AngelOneOrderStream,
    master_rows=instruments.master_rows,
    instrument=instruments.instrument,
    read_postback=read_postback,
)
