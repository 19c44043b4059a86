"""IIFL Capital: the open API at api.iiflcapital.com."""

from brokers.base import Broker
from brokers.iifl_capital import instruments
from brokers.iifl_capital.auth import IiflCapitalAuth
from brokers.iifl_capital.client import IiflCapitalClient
from brokers.iifl_capital.mapping import failure
from brokers.iifl_capital.spec import SPEC
from brokers.iifl_capital.stream import IiflCapitalStream

BROKER = Broker(
    spec=SPEC,
    auth_class=IiflCapitalAuth,
    client_class=IiflCapitalClient,
    failure=failure,
    master_rows=instruments.master_rows,
    instrument=instruments.instrument,
    price_stream=IiflCapitalStream,
)
