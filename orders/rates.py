"""The rates as the database holds them: read once, and again when any process changed one of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.db import connection, transaction

from orders.charge_models import BrokerPlan, StatutoryRate
from orders.examples import DATA, READER
from orders.square_off import SquareOffs
from orders.tariffs import ChargeError, Rates

_cached: Rates | None = None


def current_rates() -> Rates:
    """Every rate and plan as of now. One small query where nothing changed.

    Raises ChargeError (`rates_missing`) where the tables are empty, (`rates_broken`) where a row cannot be read.
    """
    global _cached
    version = _version()
    known = _cached
    if known is None or known.version != version:
        known = _cached = Rates(document(), version=version)
    return known


@lru_cache(maxsize=1)
def square_offs() -> SquareOffs:
    """When brokers close intraday positions, from the data file."""
    return SquareOffs(READER.decode((DATA.parent / "square_off.json").read_bytes()))


def document() -> dict[str, Any]:
    """All rows in the form of charges.json."""
    brokers: dict[str, Any] = {}
    for plan in BrokerPlan.objects.all():
        brokers.setdefault(plan.broker, {"plans": []})["plans"].append(plan.plain())
    return {"statutory": [row.plain() for row in StatutoryRate.objects.all()], "brokers": brokers}


def _version() -> str:
    """Names what the rows say: every change of any of them raises one of the sums."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT sum(version) FROM order_statutory_rates), (SELECT sum(version) FROM order_broker_plans)"
        )
        statutory, plans = cursor.fetchone()
    if statutory is None or plans is None:
        raise ChargeError(
            "There are no rates: run `manage.py migrate`, which fills empty tables.", code="rates_missing"
        )
    return f"{statutory}.{plans}"


@transaction.atomic
def fill_empty_tables(**_: Any) -> None:
    """Write the rates that TradeMaster comes with, where there are none at all. After every `migrate`.

    A `migrate` that stops at, or goes back to, a time before these tables finds nothing to fill.
    """
    if BrokerPlan._meta.db_table not in connection.introspection.table_names():
        return
    seed = READER.decode(DATA.read_bytes())
    if not StatutoryRate.objects.exists():
        StatutoryRate.objects.bulk_create(StatutoryRate(**row) for row in seed["statutory"])
    if not BrokerPlan.objects.exists():
        BrokerPlan.objects.bulk_create(
            BrokerPlan(broker=broker, **_plan_columns(plan))
            for broker, listed in seed["brokers"].items()
            for plan in listed["plans"]
        )


def _plan_columns(plan: dict[str, Any]) -> dict[str, Any]:
    own = {field.name for field in BrokerPlan._meta.concrete_fields}
    terms = {name: value for name, value in plan.items() if name not in own}
    return {**{name: value for name, value in plan.items() if name in own}, "terms": terms}
