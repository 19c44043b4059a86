"""What the risk page shows: the sections of a report, and beside them what a template cannot make of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

from accounts.models import User
from brokers.models import BrokerConnection
from portfolio import risking
from portfolio.risk.limits import IN_RUPEES, State
from portfolio.risk.sections import SECTIONS
from portfolio.risk_models import RiskBreach, RiskLimit

WAYS = (
    ("by_broker", "By broker"),
    ("by_sector", "By sector"),
    ("by_issuer", "By issuer"),
    ("by_risk_class", "By asset class"),
    ("by_segment", "By segment"),
    ("by_exchange", "By exchange"),
    ("by_expiry", "By expiry"),
)
METHODS = (
    ("HISTORICAL", "Historical", "Today’s book under each of the past days’ moves."),
    ("FILTERED", "Filtered", "The same, each past move scaled to today’s volatility."),
    ("PARAMETRIC", "Parametric", "By volatilities and correlations, as if returns were normal."),
    ("EWMA", "EWMA", "As parametric, but yesterday counts most."),
)
STATES = {State.OK: "Within", State.WARN: "Warning", State.BLOCK: "Reached", State.UNKNOWN: "Not known"}
# A part of the book is missing in the figure, or not valued: it can reach its levels, and does not clear.
IN_PART = "Known in part"
TONES = {State.OK: "good", State.WARN: "warn", State.BLOCK: "bad", State.UNKNOWN: "plain"}
UNMODELLED = {"liquidity": ("of unknown volume", "How long leaving it takes is not known")}
BAR_WIDTH, BAR_HEIGHT, LABEL_WIDTH = 360, 18, 190
CHART_WIDTH, CHART_HEIGHT = 600, 120
MINUTE, HOUR, DAY = 60, 3600, 86_400
WHOLE = Decimal(1)
# To as many a figure is shown, and as many it has.
FEW_PLACES, ALL_PLACES = 2, 6


def shown(user: User, *, now: datetime) -> dict[str, Any]:
    """The context of the page. Raises NoBrokerConnections."""
    told = {name: msgspec.json.decode(part) for name, part in risking.reported(user, now=now).items()}
    names = _names(user)
    shown_as = {**_issuers(told["concentration"]["value"]), **_brokers(told["concentration"]["value"]), **names}
    return {**context(told, names, now=now), "limits": limits(user, shown_as)}


def context(told: Mapping[str, Any], names: Mapping[str, str], *, now: datetime) -> dict[str, Any]:
    """Of a report as JSON values; `names` are of accounts, by id."""
    values = {name: told[name]["value"] for name in SECTIONS}
    return {
        "report": told,
        "values": values,
        "computed_at": datetime.fromisoformat(told["computed_at"]),
        "sections": {
            name: {**told[name], "chips": chips(told[name]["coverage"], names, now, name)} for name in SECTIONS
        },
        "chips": chips(told["coverage"], names, now),
        "ways": [
            {"title": title, "nodes": _named(values["exposure"][way], names)}
            for way, title in WAYS
            if values["exposure"] and values["exposure"][way]
        ],
        "methods": methods(values["losses"]),
        "bars": bars(values["stress"]),
        "outages": _called(values["stress"], "outages", "broker", _brokers(values["concentration"])),
        "locks": _called(values["stress"], "locks", "issuer", _issuers(values["concentration"])),
        "drawdown": drawdown(values["record"]),
    }


def _brokers(concentration: Mapping[str, Any] | None) -> dict[str, str]:
    rows = concentration["counterparties"] if concentration else ()
    return {row["broker_type"]: row["broker_name"] for row in rows}


def _issuers(concentration: Mapping[str, Any] | None) -> dict[str, str]:
    rows = concentration["issuers"]["weights"] if concentration else ()
    return {row["key"]: row["name"] for row in rows}


def _called(stress: Mapping[str, Any] | None, part: str, key: str, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows of the stress table with the name of what they are about."""
    return [{**row, "name": names.get(row[key], row[key])} for row in stress[part]] if stress else []


def _names(user: User) -> dict[str, str]:
    rows = BrokerConnection.objects.without_secrets().filter(user=user)
    return {str(row.pk): row.display_name or row.broker_name for row in rows}


def _named(nodes: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Accounts stand in the tree by their id."""
    return [
        {
            **node,
            "name": names.get(node["key"], node["name"]),
            "children": _named(node["children"], names),
        }
        for node in nodes
    ]


# --- completeness -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Chip:
    text: str
    tone: str
    title: str = ""


def chips(coverage: Mapping[str, Any], names: Mapping[str, str], now: datetime, section: str = "") -> list[Chip]:
    """What a section stands on, in a few words: 6/6 live; 5/6 live, Groww 3 min; 12% proxied."""
    accounts, stale, missing = coverage["accounts"], coverage["stale"], coverage["missing"]
    live = accounts - len(stale) - len(missing)
    found = [Chip(f"{live}/{accounts} live", "good" if live == accounts else "warn", "Accounts that answered just now")]
    if stale:
        since = f" {_age(coverage['as_of'], now)}" if coverage["as_of"] else ""
        found.append(Chip(f"{_list(stale, names)}{since}", "warn", "Its last answer is of then"))
    if missing:
        found.append(Chip(f"without {_list(missing, names)}", "bad", "Never answered: what it holds is in no figure"))
    if coverage["unvalued"]:
        found.append(Chip(f"{coverage['unvalued']} of {coverage['lines']} not valued", "warn", "In no figure here"))
    if coverage["unreadable"]:
        found.append(Chip(f"{coverage['unreadable']} unreadable", "warn", "Rows of brokers that cannot be read"))
    for name, word, title in (
        ("proxied_pct", "proxied", "Moves by the history of something else"),
        ("unmodelled_pct", *UNMODELLED.get(section, ("not modelled", "Without a history: in no figure here"))),
    ):
        part = coverage[name]
        if part is not None and Decimal(part) > 0:
            found.append(Chip(f"{part}% {word}", "warn", title))
    return found


def _list(ids: Sequence[str], names: Mapping[str, str]) -> str:
    return ", ".join(names.get(each, "an account") for each in ids)


def _age(as_of: str, now: datetime) -> str:
    seconds = max(0, int((now - datetime.fromisoformat(as_of)).total_seconds()))
    for length, word in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= length:
            return f"{seconds // length} {word}"
    return f"{seconds} s"


# --- figures ----------------------------------------------------------------------------------------------------------
def methods(losses: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if losses is None:
        return []
    return [
        {
            "name": name,
            "meaning": meaning,
            "figures": [each for each in losses["figures"] if each["method"] == method],
        }
        for method, name, meaning in METHODS
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One scenario in the picture; whole pixels."""

    title: str
    pnl: str
    sign: int
    x: int
    y: int
    width: int
    text_y: int


def bars(stress: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The scenarios that leave volatility alone: the others are in the table."""
    if stress is None:
        return None
    rows = [row for row in stress["scenarios"] if row["pnl"] is not None and "_vol_" not in row["code"]]
    rows += [row for row in stress["scenarios"] if row["pnl"] is not None and row["code"].endswith("_vol_p0")]
    rows.sort(key=lambda row: Decimal(row["pnl"]))
    largest = max((abs(Decimal(row["pnl"])) for row in rows), default=Decimal(0))
    if not largest:
        return None
    middle = BAR_WIDTH // 2
    found = []
    for place, row in enumerate(rows):
        pnl = Decimal(row["pnl"])
        width = int(abs(pnl) / largest * (middle - 4))
        found.append(
            Bar(
                title=row["title"].replace(", volatility +0%", ""),
                pnl=row["pnl"],
                sign=(pnl > 0) - (pnl < 0),
                x=LABEL_WIDTH + (middle - width if pnl < 0 else middle),
                y=place * BAR_HEIGHT + 3,
                width=max(width, 1),
                text_y=place * BAR_HEIGHT + 13,
            )
        )
    return {
        "rows": found,
        "width": LABEL_WIDTH + BAR_WIDTH,
        "height": len(found) * BAR_HEIGHT,
        "middle": LABEL_WIDTH + middle,
    }


def drawdown(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """How far below its peak the unit value was, day by day, as the points of a line."""
    if record is None or len(record["units"]) < 2:
        return None
    depths = [Decimal(unit["drawdown_pct"]) for unit in record["units"]]
    deepest = min(*depths, Decimal(-1))
    step = Decimal(CHART_WIDTH) / (len(depths) - 1)
    points = [
        f"{place * step:.1f},{depth / deepest * (CHART_HEIGHT - 4) + 2:.1f}" for place, depth in enumerate(depths)
    ]
    return {
        "line": " ".join(points),
        "area": f"0,2 {' '.join(points)} {CHART_WIDTH},2",
        "width": CHART_WIDTH,
        "height": CHART_HEIGHT,
        "deepest": f"{deepest:.2f}",
    }


# --- limits -----------------------------------------------------------------------------------------------------------
def limits(user: User, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each with its meter, the gravest first; `breaches` stand, and may wait for somebody to take note.

    `names` are of what a limit may be on: accounts by id, brokers by their word, issuers by ISIN.
    """
    rows = RiskLimit.objects.filter(user=user, is_enabled=True)
    found = [_limit(row, names) for row in rows]
    breaches = RiskBreach.objects.filter(user=user, cleared_at=None).select_related("acknowledged_by")
    for breach in breaches:
        for each in found:
            if each["id"] == breach.limit_id:
                each["breaches"].append(
                    {
                        "pk": breach.pk,
                        "called": names.get(breach.scope_key, breach.scope_key),
                        "opened_at": breach.opened_at,
                        "acknowledged_at": breach.acknowledged_at,
                        "acknowledged_by": breach.acknowledged_by,
                    }
                )
    order = list(reversed([State.OK, State.UNKNOWN, State.WARN, State.BLOCK]))
    return sorted(found, key=lambda each: (order.index(each["state"]), each["id"]))


def _limit(row: RiskLimit, names: Mapping[str, str]) -> dict[str, Any]:
    state, is_money = State(row.state), row.metric in IN_RUPEES
    levels = [level for level in (row.warn, row.block) if level is not None]
    return {
        "id": row.pk,
        "term": row.metric.lower(),
        "of": names.get(row.scope_key, row.scope_key) or ("" if row.scope == "GLOBAL" else f"each {row.scope.lower()}"),
        "value": None if row.value is None else _text(legible(row.value, levels)),
        "warn": None if row.warn is None else _text(row.warn),
        "block": None if row.block is None else _text(row.block),
        "meter": meter(row.value, row.warn, row.block, is_amount=is_money)
        if row.value is not None and levels
        else None,
        "unit": "%" if row.metric.endswith("_PCT") else "",
        "is_money": is_money,
        "state": state,
        "word": IN_PART if state is State.UNKNOWN and row.value is not None else STATES[state],
        "tone": TONES[state],
        "breaches": [],
    }


def meter(
    value: Decimal | None, warn: Decimal | None, block: Decimal | None, *, is_amount: bool
) -> dict[str, str] | None:
    """Percentages and ratios as they are; amounts in percent of the level, since a meter is read out, figures too.

    None: there is nothing to draw.
    """
    top = block if block is not None else warn
    if value is None or top is None:
        return None
    places = {"value": value, "max": max(value, top), "high": warn if warn is not None else top}
    if is_amount:
        places = {name: (100 * place / top).quantize(WHOLE, ROUND_HALF_UP) for name, place in places.items()}
    return {name: _text(place) for name, place in places.items()}


def legible(value: Decimal, levels: Sequence[Decimal]) -> Decimal:
    """To as few places, two at least, as leave it on the same side of every level: 24.996 beside one of 25."""
    for places in range(FEW_PLACES, ALL_PLACES):
        rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
        if all(rounded.compare(each) == value.compare(each) for each in levels):
            return rounded
    return value


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"
