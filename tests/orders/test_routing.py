"""Where an order goes: the worked examples, every reason not to go somewhere, and what the answer says of itself."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from brokers.domain import Exchange, Product, Side
from orders.examples import DATA, READER, cases_of, routing_case, run, seed_rates
from orders.routing import (
    BadProblem,
    Bar,
    Broker,
    Circuit,
    Decision,
    Order,
    Policy,
    PossiblyLive,
    Problem,
    Tax,
    TaxLot,
    pinned,
    replay,
    solve,
)
from orders.routing.reasons import EMPTY_LIMIT, EXCLUSIONS, LIMITS
from orders.tariffs import Rates

EXAMPLES = cases_of(Path(__file__).parents[1] / "fixtures" / "orders" / "routing_examples.json")
RATES = seed_rates()
NSE, BSE = Exchange.NSE, Exchange.BSE


def an_order(**changes):
    usual = {
        "side": Side.BUY,
        "segment": "equity_delivery",
        "quantity": Decimal(100),
        "exchanges": (NSE,),
        "prices": {NSE: Decimal(1000)},
        "on": date(2026, 11, 23),
    }
    return Order(**{**usual, **changes})


def a_broker(slug, **changes):
    usual = {
        "id": slug,
        "segments": ("equity_delivery", "equity_intraday", "equity_options", "equity_futures"),
        "available": Decimal(1_000_000),
        "sellable": Decimal(1000),
    }
    return Broker(**{**usual, **changes})


def a_problem(*brokers, order=None, policy=None, **changes):
    return Problem(order=order or an_order(), brokers=brokers, policy=policy or Policy(), **changes)


def parts(allocation):
    return [(part.broker, str(part.exchange), part.quantity) for part in allocation]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["id"] for example in EXAMPLES])
def test_worked_example(example):
    case = run(routing_case, example, RATES)
    assert case.differs == (), case


def test_a_worked_example_that_comes_out_otherwise_is_told():
    example = msgspec.json.decode(msgspec.json.encode(EXAMPLES[1]))
    example["expected"]["allocation"][0]["quantity"] = 93
    example["expected"]["total_charges"] = "125.79"
    example["expected"]["excluded"] = {"upstox": "circuit open"}
    assert run(routing_case, example, RATES).differs == ("allocation", "total_charges", "excluded")


class TestExclusions:
    SELL = an_order(side=Side.SELL)
    OPTION = an_order(
        side=Side.SELL, segment="equity_options", quantity=Decimal(65), lot_size=Decimal(65), underlying="NIFTY"
    )
    CASES = (
        ("session_invalid", {"session": "expired"}, {}, {}),
        ("circuit_open", {"circuit": Circuit.OPEN}, {}, {}),
        ("no_probe_allowed", {"circuit": Circuit.HALF_OPEN}, {}, {}),
        ("probe_too_small", {"circuit": Circuit.HALF_OPEN}, {}, {"probe_value": Decimal("999.99")}),
        ("segment_unsupported", {"segments": ("equity_intraday",)}, {}, {}),
        ("product_unsupported", {"products": (Product.CNC,)}, {"product": Product.MTF}, {}),
        ("exchange_unsupported", {"exchanges": (BSE,)}, {}, {}),
        ("no_rate_tokens", {"rate_tokens": 0}, {}, {}),
        ("debit_not_authorised", {"debit_authorised": False}, {"side": Side.SELL}, {}),
        ("holdings_unknown", {"sellable": None}, {"side": Side.SELL}, {}),
        ("holdings_unknown", {"sellable": None}, {"is_exit": True}, {}),
        ("funds_unknown", {"available": None}, {}, {}),
        ("margin_unknown", {}, {"side": Side.SELL, "segment": "equity_options", "underlying": "NIFTY"}, {}),
        ("charges_unknown", {"plan_id": "none such"}, {}, {}),
        ("no_shares", {"sellable": Decimal(0)}, {"side": Side.SELL}, {}),
        ("no_position", {"sellable": Decimal(0)}, {"is_exit": True}, {}),
        ("funds_too_small", {"available": Decimal("1001.18")}, {}, {}),
        ("exposure_used_up", {"exposure_left": Decimal("999.99")}, {}, {}),
        ("exposure_used_up", {"exposure_left": Decimal(-5)}, {}, {}),
        ("order_cap_too_small", {"max_order_value": Decimal("999.99")}, {}, {}),
    )

    @pytest.mark.parametrize(("code", "broker", "order", "policy"), CASES, ids=[case[0] for case in CASES])
    def test_each_has_its_code_and_a_remedy_and_the_rest_goes_on(self, code, broker, order, policy):
        problem = a_problem(
            a_broker("zerodha", name="Zerodha", **broker), order=an_order(**order), policy=Policy(**policy)
        )
        decision = solve(problem, RATES)
        [told] = decision.excluded
        assert (told.broker, told.code) == ("zerodha", code)
        assert told.sentence.startswith("Zerodha: ")
        assert told.words in told.sentence
        assert told.remedy
        assert decision.allocation == ()
        assert decision.unrouted == 100

    def test_each_code_of_the_table_has_a_case(self):
        covered = {case[0] for case in self.CASES} | {"unreconciled_order"}
        assert covered == set(EXCLUSIONS)
        assert set(EMPTY_LIMIT) == set(LIMITS) - {"max_children"}
        assert set(EMPTY_LIMIT.values()) <= set(EXCLUSIONS)

    def test_every_code_stands_in_the_page_for_traders(self):
        page = (DATA.parents[2] / "docs" / "routing.md").read_text()
        assert [code for code in (*EXCLUSIONS, *LIMITS) if f"`{code}`" not in page] == []

    def test_one_share_more_than_the_funds_cover_is_not_bought(self):
        """100 shares cost 100,118.74 (C01), one of them 1,001.19."""
        enough = solve(a_problem(a_broker("zerodha", available=Decimal("1001.19"))), RATES)
        assert parts(enough.allocation) == [("zerodha", "NSE", 1)]
        [limit] = enough.limits
        assert (limit.code, limit.quantity) == ("funds", 1)

    def test_what_other_orders_will_take_is_not_there(self):
        decision = solve(a_problem(a_broker("zerodha", reserved=Decimal(950_000))), RATES)
        assert decision.allocation[0].quantity == 49

    def test_a_reason_that_only_the_caller_knows(self):
        bar = Bar(code="trading_off", words="trading is off", remedy="Turn trading on for it.")
        [told] = solve(a_problem(a_broker("zerodha", barred=bar)), RATES).excluded
        assert (told.code, told.sentence, told.remedy) == (
            "trading_off",
            "zerodha: trading is off.",
            "Turn trading on for it.",
        )

    def test_since_when_the_circuit_is_open(self):
        [told] = solve(a_problem(a_broker("zerodha", circuit=Circuit.OPEN, circuit_since="10:02")), RATES).excluded
        assert told.sentence == "zerodha: circuit open since 10:02."


class TestWhatMayBeLive:
    def test_its_quantity_is_held_and_its_broker_left_alone(self):
        problem = a_problem(
            a_broker("zerodha"),
            a_broker("upstox"),
            possibly_live=(PossiblyLive(broker="zerodha", quantity=Decimal(60)),),
        )
        decision = solve(problem, RATES)
        assert decision.held_for_reconciliation == 60
        assert parts(decision.allocation) == [("upstox", "NSE", 40)]
        assert [told.code for told in decision.excluded] == ["unreconciled_order"]
        assert [warned.code for warned in decision.warnings] == ["held_for_reconciliation"]

    @pytest.mark.parametrize("live", [100, 140])
    def test_nothing_is_routed_where_all_of_it_may_be(self, live):
        problem = a_problem(
            a_broker("zerodha"), possibly_live=(PossiblyLive(broker="elsewhere", quantity=Decimal(live)),)
        )
        decision = solve(problem, RATES)
        assert (decision.allocation, decision.children, decision.unrouted) == ((), (), 0)
        assert decision.held_for_reconciliation == 100
        assert (decision.total_charges, decision.objective) == (0, 0)
        assert decision.alternative is None


class TestProbes:
    HALF_OPEN = a_broker("zerodha", circuit=Circuit.HALF_OPEN)

    def test_one_order_of_the_probes_value_goes_to_a_broker_on_probation(self):
        order = an_order(freeze_quantities={NSE: Decimal(30)})
        policy = Policy(probe_value=Decimal(50_000), split_penalty=Decimal(0))
        decision = solve(a_problem(self.HALF_OPEN, a_broker("iifl"), order=order, policy=policy), RATES)
        assert parts(decision.children)[0] == ("zerodha", "NSE", 30)
        assert sum(1 for child in decision.children if child.broker == "zerodha") == 1
        assert "probe" in [warned.code for warned in decision.warnings]


class TestWhatItSays:
    def test_costs_add_up_by_component(self):
        problem = a_problem(
            a_broker("zerodha", sellable=Decimal(40)),
            a_broker("upstox", sellable=Decimal(70)),
            order=an_order(side=Side.SELL, quantity=Decimal(90)),
        )
        decision = solve(problem, RATES)
        assert sum(line.components["total"] for line in decision.costs) == decision.total_charges
        for line in decision.costs:
            components = {name: amount for name, amount in line.components.items() if name not in ("turnover", "total")}
            assert sum(components.values()) == line.components["total"]
        assert [line.components["dp"] for line in decision.costs] == [13, 20]
        assert decision.charges_in_paise == Decimal("155.91")

    def test_the_next_best_does_without_a_chosen_account(self):
        decision = solve(a_problem(a_broker("zerodha"), a_broker("groww"), a_broker("upstox")), RATES)
        assert parts(decision.alternative.allocation) == [("groww", "NSE", 100)]
        assert decision.alternative.difference == Decimal("23.6")  # its brokerage of 20, and 18 % on it

    def test_another_account_says_more_than_another_exchange_of_the_same(self):
        order = an_order(exchanges=(NSE, BSE), prices={NSE: Decimal(1000), BSE: Decimal(1000)})
        decision = solve(a_problem(a_broker("zerodha"), a_broker("groww"), order=order), RATES)
        assert parts(decision.allocation) == [("zerodha", "NSE", 100)]
        assert parts(decision.alternative.allocation) == [("groww", "NSE", 100)]
        assert decision.alternative.difference == Decimal("23.6")

    def test_where_nobody_else_is_it_is_without_the_exchange(self):
        order = an_order(exchanges=(NSE, BSE), prices={NSE: Decimal(1000), BSE: Decimal(1000)})
        decision = solve(a_problem(a_broker("zerodha"), order=order), RATES)
        assert parts(decision.allocation) == [("zerodha", "NSE", 100)]
        assert parts(decision.alternative.allocation) == [("zerodha", "BSE", 100)]
        assert decision.alternative.difference == Decimal("0.80240")  # 375 against 307 a crore, and 18 %

    def test_rupees_are_not_compared_where_it_routes_less(self):
        order = an_order(side=Side.SELL)
        few = a_broker("groww", sellable=Decimal(10))
        decision = solve(a_problem(a_broker("zerodha"), few, order=order), RATES)
        assert parts(decision.alternative.allocation) == [("groww", "NSE", 10)]
        assert (decision.alternative.unrouted, decision.alternative.difference) == (90, None)

    def test_equal_accounts_by_the_owners_order_and_equal_exchanges_by_preference(self):
        brokers = [replace(a_broker("zerodha"), id=name, slug="zerodha") for name in ("one", "two")]
        futures = an_order(
            segment="equity_futures", exchanges=(BSE, NSE), prices={NSE: Decimal(1000), BSE: Decimal(1000)}
        )
        assert solve(a_problem(*brokers), RATES).allocation[0].broker == "one"
        assert solve(a_problem(*reversed(brokers)), RATES).allocation[0].broker == "two"
        assert solve(a_problem(*brokers, order=futures), RATES).allocation[0].exchange == BSE

    def test_an_unknown_cost_is_taxed_as_gain_and_told(self):
        order = an_order(side=Side.SELL, quantity=Decimal(10))
        policy = Policy(tax=Tax(stcg=Decimal("0.2"), ltcg=Decimal("0.125")))
        known = TaxLot(quantity=Decimal(4), cost=Decimal(900), term="long")
        decision = solve(a_problem(a_broker("zerodha", lots=(known,)), order=order, policy=policy), RATES)
        assert decision.tax == 4 * 100 * Decimal("0.125") + 6 * 1000 * Decimal("0.2")
        assert [warned.code for warned in decision.warnings] == ["cost_unknown"]

    def test_shares_bought_yesterday_are_sold_only_where_the_owner_allows_it(self):
        broker = a_broker("zerodha", sellable=Decimal(40), unsettled=Decimal(30))
        order = an_order(side=Side.SELL)
        assert solve(a_problem(broker, order=order), RATES).unrouted == 60
        assert solve(a_problem(broker, order=order, policy=Policy(sells_unsettled=True)), RATES).unrouted == 30

    def test_a_position_is_closed_where_it_is_without_margin(self):
        order = an_order(segment="equity_intraday", is_exit=True, quantity=Decimal(50))
        here = a_broker("iifl", available=None, sellable=Decimal(50))
        elsewhere = a_broker("zerodha", sellable=Decimal(0))
        assert parts(solve(a_problem(elsewhere, here, order=order), RATES).allocation) == [("iifl", "NSE", 50)]

    def test_both_houses_of_iifl_are_charged_by_one_tariff(self):
        decisions = [solve(a_problem(a_broker(slug)), RATES) for slug in ("iifl", "iifl_capital")]
        assert decisions[0].total_charges == decisions[1].total_charges > 0


class TestStoring:
    PROBLEM = a_problem(
        a_broker("zerodha", available=Decimal("95000.00")),
        a_broker("groww", own_brokerage={"type": "flat", "amount": "3"}, circuit_since="10:02"),
        policy=Policy(tax=Tax(stcg=Decimal("0.20"), ltcg=Decimal("0.125")), probe_value=Decimal("5000")),
        order=an_order(freeze_quantities={NSE: Decimal(60)}, product=Product.CNC, underlying="INFY"),
        possibly_live=(PossiblyLive(broker="fyers", quantity=Decimal(5), client_order_id="t123"),),
    )

    def test_problem_and_decision_survive_json(self):
        problem = pinned(self.PROBLEM, RATES)
        decision = solve(problem, RATES)
        stored = json.loads(json.dumps([problem.plain(), decision.plain()]))
        assert Problem.from_plain(stored[0]) == problem
        assert Decision.from_plain(stored[1]) == decision
        assert stored[0]["order"]["price"] == {"NSE": "1000"}

    def test_a_stored_problem_is_solved_the_same_when_rates_have_changed(self):
        problem = pinned(self.PROBLEM, RATES)
        document = READER.decode(DATA.read_bytes())
        for plan in document["brokers"]["zerodha"]["plans"]:
            plan["brokerage"]["equity_delivery"] = {"type": "flat", "amount": "500"}
        dearer = Rates(document)
        stored = json.loads(json.dumps(problem.plain()))
        assert solve(self.PROBLEM, dearer) != solve(self.PROBLEM, RATES)
        assert replay(stored, dearer) == replay(stored) == solve(self.PROBLEM, RATES)

    def test_a_rate_that_begins_only_later_stays_unknown_when_replayed(self):
        early = replace(self.PROBLEM, order=replace(self.PROBLEM.order, on=date(2022, 1, 3)), possibly_live=())
        decision = solve(early, RATES)
        assert {told.code for told in decision.excluded} == {"charges_unknown"}
        assert replay(pinned(early, RATES).plain()) == decision

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"quantity": "2.5"}, "multiple of the lot"),
            ({"quantity": "0"}, "multiple of the lot"),
            ({"quantity": "NaN"}, "multiple of the lot"),
            ({"price": {"BSE": "10"}}, "missing for NSE"),
            ({"price": {"NSE": "0"}}, "not above zero"),
            ({"exchanges": []}, "none is named"),
            ({"exchanges": ["NSE", "NSE"]}, "none is named, or one twice"),
            ({"lot_size": "0"}, "lot_size"),
            ({"margin_rate": "-1"}, "margin_rate"),
            ({"side": "hold"}, "side"),
            ({"date": "soon"}, "RFC3339|date|on"),
            ({"quantity": "many"}, "quantity"),
        ],
    )
    def test_a_broken_problem_names_what_is_wrong(self, changed, words):
        plain = self.PROBLEM.plain()
        plain["order"] |= changed
        with pytest.raises(BadProblem, match=words):
            replay(plain, RATES)

    def test_so_do_brokers_policies_rates_and_decisions(self):
        twice = replace(self.PROBLEM, brokers=self.PROBLEM.brokers * 2)
        with pytest.raises(BadProblem, match="one is there twice"):
            solve(twice, RATES)
        with pytest.raises(BadProblem, match="max_children"):
            solve(replace(self.PROBLEM, policy=Policy(max_children=0)), RATES)
        with pytest.raises(BadProblem, match="carries no rates"):
            solve(self.PROBLEM)
        with pytest.raises(BadProblem, match="rates"):
            solve(replace(self.PROBLEM, rates={"statutory": [{}], "brokers": {}}))
        with pytest.raises(BadProblem, match="too many digits"):
            solve(a_problem(a_broker("zerodha", reject_rate=Decimal("1e-70"))), RATES)
        with pytest.raises(BadProblem, match="decision"):
            Decision.from_plain({"allocation": 1})
