"""IIFL: XTS "Blaze", Symphony's platform at ttblaze.iifl.com."""

from brokers.base import Broker
from brokers.iifl import instruments
from brokers.iifl.auth import IiflAuth
from brokers.iifl.client import IiflClient
from brokers.iifl.mapping import failure
from brokers.iifl.spec import SPEC
from brokers.iifl.stream import IiflOrderStream, IiflStream

BROKER = Broker(
    spec=SPEC,
    auth_class=IiflAuth,
    client_class=IiflClient,
    failure=failure,
    master_rows=instruments.master_rows,
    instrument=instruments.instrument,
    price_stream=IiflStream,
    order_stream=IiflOrderStream,
)
