"""Worked examples of the whole book: beta-weighted delta, concentration, margin and leverage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from portfolio.risk.beta import weighted
from portfolio.risk.concentration import Concentration, concentration
from portfolio.risk.exposure import exact
from portfolio.risk.margins import Account, margins


def beta_weighted_delta(given: Mapping[str, Any]) -> dict[str, Any]:
    parts = [
        (_number(each["units"]) * _number(each["delta"]) * _number(each["price"]), _number(each["beta"]))
        for each in given["positions"]
    ]
    found = weighted(parts, index_level=_number(given["index_level"]), index_lot=_number(given["index_lot"]))
    return {
        "rupee_beta_delta_per_position": list(found.per_line),
        "rupee_beta_delta": found.rupees,
        "index_units": found.index_units,
        "futures_lots_to_neutral": found.hedge_lots,
        "pnl_if_index_falls_1pct": found.pnl_if_index_falls_1pct,
    }


def concentrations(given: Mapping[str, Any]) -> dict[str, Any]:
    issuers = _by(given, "isin")
    largest = issuers.weights[0].weight_ratio if issuers.weights else None
    return {
        "total": issuers.total,
        "by_isin": _weights(issuers),
        "by_sector": _weights(_by(given, "sector")),
        "by_broker": _weights(_by(given, "broker")),
        "hhi_issuer": issuers.hhi,
        "effective_number": issuers.effective_number,
        "largest_issuer_pct": largest,  # a ratio, whatever its name says
    }


def margin_leverage(given: Mapping[str, Any]) -> dict[str, Any]:
    found = margins(
        [
            Account(
                connection_id=each["broker"],
                broker_type=each["broker"],
                broker_name=each["broker"],
                equity=_number(each["equity"]),
                used=_number(each["margin_used"]),
                available=_number(each["margin_available"]),
                gross=_number(each["gross_exposure"]),
                net=_number(each["net_exposure"]),
            )
            for each in given["brokers"]
        ]
    )
    return {
        "per_broker": {
            each.account.broker_type: {
                "margin_utilisation": each.utilisation,
                "leverage_gross": each.leverage_gross,
            }
            for each in found.accounts
        },
        "consolidated": {
            "margin_utilisation": found.utilisation,
            "leverage_gross": found.leverage_gross,
            "leverage_net": found.leverage_net,
            "worst_broker_utilisation": found.worst,
        },
    }


def _by(given: Mapping[str, Any], name: str) -> Concentration:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for each in given["holdings"]:
        sums[each[name]] += _number(each["value"])
    return concentration(sums)


def _weights(found: Concentration) -> dict[str, Decimal | None]:
    return {weight.key: weight.weight_ratio for weight in found.weights}


def _number(value: Any) -> Decimal:
    number = exact(value)
    if number is None:
        raise ValueError(f"{value} is no number")
    return number
