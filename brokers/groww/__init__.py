"""Groww: Trade API v1."""

from brokers.base import Broker
from brokers.groww import instruments
from brokers.groww.auth import GrowwAuth
from brokers.groww.client import GrowwClient
from brokers.groww.mapping import failure
from brokers.groww.spec import SPEC
from brokers.groww.stream import GrowwStream

BROKER = Broker(
    spec=SPEC,
    auth_class=GrowwAuth,
    client_class=GrowwClient,
    failure=failure,
    master_rows=instruments.master_rows,
    instrument=instruments.instrument,
    price_stream=GrowwStream,
)
