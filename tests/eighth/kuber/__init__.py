"""Kuber Securities: an invented broker, written from docs/adding-a-broker.md alone."""

from brokers.base import Broker
from tests.eighth.kuber.auth import KuberAuth
from tests.eighth.kuber.client import KuberClient
from tests.eighth.kuber.mapping import failure
from tests.eighth.kuber.spec import SPEC

BROKER = Broker(spec=SPEC, auth_class=KuberAuth, client_class=KuberClient, failure=failure)
