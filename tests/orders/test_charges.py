"""What a deal costs: the worked examples, and what must hold of every deal."""

import copy
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain import Exchange, InstrumentKind, Product, Side
from orders.charges import COMPONENTS, Costs, Deal, Mode, exact, note, rounded, segment_of, tariff
from orders.examples import DATA, READER, cases_of, charges_case, run, seed_rates
from orders.tariffs import Brokerage, ChargeError, Rates

EXAMPLES = cases_of(Path(__file__).parents[1] / "fixtures" / "orders" / "charges_examples.json")
DOCUMENT = READER.decode(DATA.read_bytes())
RATES = seed_rates()
TODAY = date(2026, 11, 20)
BROKERS = ("zerodha", "groww", "angel_one", "upstox", "fyers", "iifl", "iifl_capital")


def a_deal(**changes):
    usual = {
        "broker": "zerodha",
        "segment": "equity_delivery",
        "exchange": Exchange.NSE,
        "side": Side.BUY,
        "quantity": Decimal(100),
        "price": Decimal(1000),
        "on": TODAY,
    }
    return Deal(**{**usual, **changes})


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["id"] for example in EXAMPLES])
def test_worked_example(example):
    case = run(charges_case, example, RATES)

    assert case.got == example["expected"]
    assert not case.differs


def test_an_example_that_is_wrong_is_seen():
    example = copy.deepcopy(EXAMPLES[0])
    example["expected"]["total"] = "118.75"

    assert run(charges_case, example, RATES).differs == ("total",)


@st.composite
def deals(draw):
    segment = draw(st.sampled_from(["equity_delivery", "equity_intraday", "equity_futures", "equity_options"]))
    is_cash = segment in ("equity_delivery", "equity_intraday")
    return a_deal(
        broker=draw(st.sampled_from(BROKERS)),
        segment=segment,
        exchange=draw(st.sampled_from([Exchange.NSE, Exchange.BSE])) if is_cash else Exchange.NFO,
        side=draw(st.sampled_from(Side)),
        quantity=Decimal(draw(st.integers(1, 200_000))),
        price=Decimal(draw(st.integers(5, 9_000_000))).scaleb(-2),
        lots=Decimal(draw(st.integers(1, 50))),
        is_woman=draw(st.booleans()),
        dp_paid_today=draw(st.booleans()),
    )


@given(deals())
def test_the_parts_make_the_total_and_none_is_negative(deal):
    for costs in (exact(deal, RATES), rounded(exact(deal, RATES)), rounded(exact(deal, RATES), Mode.CONTRACT_NOTE)):
        assert costs.total == sum(getattr(costs, name) for name in COMPONENTS)
        assert all(getattr(costs, name) >= 0 for name in COMPONENTS)


@given(deals(), st.integers(1, 100_000))
def test_more_never_costs_less(deal, more):
    """Debit charge apart: a debit below Rs 100 pays less at Groww."""
    larger = a_deal(**{**_fields(deal), "quantity": deal.quantity + more, "dp_paid_today": True})
    smaller = a_deal(**{**_fields(deal), "dp_paid_today": True})

    for name in COMPONENTS:
        assert getattr(exact(smaller, RATES), name) <= getattr(exact(larger, RATES), name)


@given(deals(), st.integers(1, 100_000))
def test_what_the_state_takes_adds_up_over_slices(deal, more):
    other = a_deal(**{**_fields(deal), "quantity": Decimal(more)})
    together = a_deal(**{**_fields(deal), "quantity": deal.quantity + more})

    parts = exact(deal, RATES) + exact(other, RATES)
    for name in ("turnover", "stt", "ctt", "exchange_txn", "ipft", "sebi_fee", "stamp_duty", "clearing"):
        assert getattr(parts, name) == getattr(exact(together, RATES), name)


@given(deals())
def test_cash_brokerage_keeps_under_the_ceiling_of_the_law(deal):
    costs = exact(deal, RATES)

    if deal.segment in ("equity_delivery", "equity_intraday"):
        assert costs.brokerage <= costs.turnover * Decimal("0.025")


@given(deals())
def test_the_fast_path_says_the_same(deal):
    fast = tariff(deal, RATES)
    debit = 0 if deal.dp_paid_today else fast.debit_charge(deal.turnover)

    assert fast.order(deal.turnover, deal.lots) + debit == exact(deal, RATES).total


@given(deals())
def test_each_component_is_rounded_half_up_to_paise(deal):
    costs, shown = exact(deal, RATES), rounded(exact(deal, RATES))

    for name in COMPONENTS:
        assert getattr(shown, name) == getattr(costs, name).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


@given(deals())
def test_an_excerpt_of_the_rates_gives_the_same_answer(deal):
    tariff_of = "iifl" if deal.broker == "iifl_capital" else deal.broker
    excerpt = Rates(RATES.excerpt([tariff_of], deal.segment, deal.on))

    assert exact(deal, excerpt) == exact(deal, RATES)


def test_an_excerpt_says_no_rates_of_other_days_segments_and_brokers():
    excerpt = RATES.excerpt(["zerodha"], "equity_futures", TODAY)

    assert {row["segment"] for row in excerpt["statutory"]} == {"equity_futures", "*"}
    assert [row["rate"] for row in excerpt["statutory"] if row["component"] == "stt"] == ["0.0005"]
    assert [plan["plan_id"] for plan in excerpt["brokers"]["zerodha"]["plans"]] == ["standard"]


def test_a_note_of_several_deals_rounds_stt_and_stamp_duty_once():
    """Three times 0.40 of STT is 1.20, and 1 on the note; each by itself would be 0."""
    one = exact(a_deal(quantity=Decimal(4), price=Decimal(100)), RATES)
    together = note([one, one, one])

    assert one.stt == Decimal("0.4")
    assert together.stt == Decimal("1.00")
    assert rounded(one, Mode.CONTRACT_NOTE).stt == 0
    assert together.exchange_txn == 3 * rounded(one).exchange_txn
    assert together.total == sum(getattr(together, name) for name in COMPONENTS)


def test_a_second_sale_of_the_day_pays_no_debit_charge():
    sale = {"side": Side.SELL}

    assert exact(a_deal(**sale), RATES).dp == Decimal(13)
    assert exact(a_deal(**sale, dp_paid_today=True), RATES).dp == 0
    assert exact(a_deal(side=Side.BUY), RATES).dp == 0
    assert exact(a_deal(**sale, segment="equity_intraday"), RATES).dp == 0


@pytest.mark.parametrize(
    ("broker", "price", "is_woman", "dp"),
    [
        ("zerodha", "1000", True, "12.75"),
        ("groww", "1000", True, "19.75"),
        ("angel_one", "1000", True, "19.75"),
        ("upstox", "1000", True, "20"),
        ("groww", "99.99", False, "3.5"),
        ("groww", "99.99", True, "3.25"),
        ("groww", "100", False, "20"),
    ],
)
def test_debit_charge(broker, price, is_woman, dp):
    sale = a_deal(broker=broker, side=Side.SELL, quantity=Decimal(1), price=Decimal(price), is_woman=is_woman)

    assert exact(sale, RATES).dp == Decimal(dp)


@pytest.mark.parametrize(("underlying", "expected"), [("GOLD", "250"), ("NATURALGAS", "160"), (None, "160")])
def test_a_plan_that_counts_lots(underlying, expected):
    option = {"broker": "iifl", "segment": "commodity_options", "exchange": Exchange.MCX, "asset": "NON_AGRI"}

    assert exact(a_deal(**option, lots=Decimal(2), underlying=underlying), RATES).brokerage == Decimal(expected)
    with pytest.raises(ChargeError, match="counts lots") as refused:
        exact(a_deal(**option), RATES)
    assert refused.value.code == "lots_missing"


def test_the_usual_plan_and_the_one_that_was_agreed():
    usual, agreed = a_deal(broker="iifl_capital"), a_deal(broker="iifl", plan_id="z20")
    own = Brokerage.from_plain({"type": "percent", "rate": "0.0001"})

    assert exact(usual, RATES).brokerage == Decimal(250)
    assert exact(agreed, RATES).brokerage == 0
    assert exact(a_deal(broker="iifl", own_brokerage=own), RATES).brokerage == Decimal(10)
    assert exact(a_deal(broker="iifl", side=Side.SELL, own_debit=Decimal(15)), RATES).dp == Decimal(15)


def test_margin_funding_has_a_brokerage_of_its_own():
    assert exact(a_deal(is_funded=True), RATES).brokerage == Decimal(20)
    with pytest.raises(ChargeError, match="margin funding") as refused:
        exact(a_deal(broker="fyers", is_funded=True), RATES)
    assert refused.value.code == "not_offered"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"broker": "nobody"}, "plan_missing"),
        ({"plan_id": "gold"}, "plan_missing"),
        ({"on": date(2019, 1, 1)}, "plan_missing"),
        ({"broker": "groww", "segment": "currency_futures", "exchange": Exchange.CDS}, "not_offered"),
        ({"asset": "CHEESE"}, "rate_missing"),
        ({"exchange": Exchange.BSE, "bse_group": "QQ"}, "rate_missing"),
        ({"segment": "equity_options", "exchange": Exchange.BFO}, "fact_missing"),
        ({"segment": "commodity_futures", "exchange": Exchange.NCO, "asset": "NON_AGRI"}, "rate_missing"),
        ({"broker": "iifl", "plan_id": "z20", "on": date(2021, 1, 4)}, "rate_missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_rates_do_not_know_is_an_error_and_not_free(changes, code):
    with pytest.raises(ChargeError) as refused:
        exact(a_deal(**changes), RATES)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("underlying", "rate"), [("SENSEX", "0.000325"), ("SENSEX50", "0.00005"), ("RELIANCE", "0.00005")]
)
def test_options_of_bse_by_underlying(underlying, rate):
    option = a_deal(segment="equity_options", exchange=Exchange.BFO, underlying=underlying)

    assert exact(option, RATES).exchange_txn == option.turnover * Decimal(rate)


def test_units_of_a_commodity_and_lots_of_it_cost_the_same():
    future = {"segment": "commodity_futures", "exchange": Exchange.MCX, "asset": "NON_AGRI", "price": Decimal(8552)}
    in_lots = a_deal(**future, quantity=Decimal(2), multiplier=Decimal(100))
    in_units = a_deal(**future, quantity=Decimal(200))

    assert exact(in_lots, RATES) == exact(in_units, RATES)


def test_two_rows_for_one_day_are_an_error():
    document = copy.deepcopy(DOCUMENT)
    document["statutory"].append(document["statutory"][0])

    with pytest.raises(ChargeError) as refused:
        exact(a_deal(), Rates(document))
    assert refused.value.code == "rate_ambiguous"


@pytest.mark.parametrize(
    ("place", "value"), [("rate", 0.001), ("rate", "much"), ("rate", "NaN"), ("effective_from", "yesterday")]
)
def test_a_broken_row_is_named(place, value):
    document = copy.deepcopy(DOCUMENT)
    document["statutory"][3][place] = value

    with pytest.raises(ChargeError, match="statutory row 3") as refused:
        Rates(document)
    assert refused.value.code == "rates_broken"


def test_costs_add_up_and_are_told_as_text():
    one = rounded(exact(a_deal(), RATES))

    assert (one + one).total == 2 * one.total
    assert Costs().total == 0
    assert one.plain()["total"] == "118.74"


@pytest.mark.parametrize(
    ("exchange", "kind", "product", "expected"),
    [
        (Exchange.NSE, InstrumentKind.EQUITY, Product.CNC, "equity_delivery"),
        (Exchange.BSE, InstrumentKind.EQUITY, Product.MTF, "equity_delivery"),
        (Exchange.NSE, InstrumentKind.EQUITY, Product.MIS, "equity_intraday"),
        (Exchange.NFO, InstrumentKind.FUTURE, Product.NRML, "equity_futures"),
        (Exchange.BFO, InstrumentKind.OPTION, Product.MIS, "equity_options"),
        (Exchange.CDS, InstrumentKind.OPTION, Product.NRML, "currency_options"),
        (Exchange.MCX, InstrumentKind.FUTURE, Product.NRML, "commodity_futures"),
    ],
)
def test_the_segment_that_a_deal_is_charged_in(exchange, kind, product, expected):
    assert segment_of(exchange, kind, product) == expected


def test_an_index_is_not_dealt_in():
    with pytest.raises(ChargeError) as refused:
        segment_of(Exchange.NSE, InstrumentKind.INDEX, Product.CNC)
    assert refused.value.code == "segment_unknown"


def _fields(deal):
    return {name: getattr(deal, name) for name in Deal.__dataclass_fields__}
