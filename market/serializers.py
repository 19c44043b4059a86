"""What the market API reads and writes. Numbers go out as strings, without trailing zeros; null is unknown."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from brokers import registry
from brokers.domain import Exchange, InstrumentKind, OptionType, Segment
from brokers.serializers import Instant
from market.calendar import Phase
from market.candle_models import FillState
from market.identity import plain
from market.models import Instrument
from market.quotes import MOST_QUOTES
from market.search import Filters
from market.strip import LevelState

MOST_HITS = 50
USUAL_HITS = 20
MOST_CANDLES = 500
USUAL_CANDLES = 300
INSTRUMENT = re.compile(rf"(?:{'|'.join(Exchange)}):[A-Za-z0-9_-]{{1,40}}|[0-9]{{1,18}}")


def words_of(kind: Any) -> list[str]:
    return [word.value for word in kind]


class Exact(serializers.DecimalField):
    """A number as it is: `65`, `0.05`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=20, decimal_places=4, allow_null=True, **kwargs)

    def to_representation(self, value: Decimal) -> str:
        return plain(value)


class SearchQuery(serializers.Serializer[Any]):
    q = serializers.CharField(max_length=60, help_text="A symbol or its beginning, words of a name, or an ISIN.")
    exchange = serializers.ChoiceField(words_of(Exchange), required=False)
    segment = serializers.ChoiceField(words_of(Segment), required=False)
    kind = serializers.ChoiceField(words_of(InstrumentKind), required=False)
    expiry = serializers.DateField(required=False)
    limit = serializers.IntegerField(min_value=1, max_value=MOST_HITS, default=USUAL_HITS)

    def filters(self) -> Filters:
        asked = {name: self.validated_data.get(name) for name in ("exchange", "segment", "kind", "expiry")}
        return Filters(**asked)


class ListingAnswer(serializers.Serializer[Any]):
    broker_type = serializers.CharField()
    tradingsymbol = serializers.CharField()
    broker_token = serializers.CharField(help_text="This broker's own number or name; never compare between brokers.")
    multiplier = Exact(help_text="Units in one of what this broker counts.")


class InstrumentAnswer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    exchange = serializers.ChoiceField(words_of(Exchange))
    segment = serializers.ChoiceField(words_of(Segment))
    kind = serializers.ChoiceField(words_of(InstrumentKind))
    tradingsymbol = serializers.CharField()
    name = serializers.CharField()
    isin = serializers.CharField(allow_null=True)
    exchange_token = serializers.CharField(allow_null=True)
    series = serializers.CharField(help_text="Series at NSE, group at BSE; empty for contracts, and where not known.")
    underlying = serializers.CharField()
    expiry = serializers.DateField(allow_null=True)
    strike = Exact()
    option_type = serializers.ChoiceField([*words_of(OptionType), ""])
    lot_size = Exact(help_text="Units in a lot.")
    tick_size = Exact(help_text="INR.")
    freeze_quantity = Exact(help_text="The largest single order, in units.")
    cas_eligible = serializers.BooleanField(allow_null=True, help_text="Closes by the closing auction.")
    banned = serializers.BooleanField(allow_null=True, help_text="In the F&O ban.")
    first_seen_on = serializers.DateField()
    last_seen_on = serializers.DateField()
    ended_on = serializers.DateField(allow_null=True, help_text="Since when another instrument stands in its place.")
    succeeds = serializers.IntegerField(source="succeeds_id", allow_null=True, help_text="The one it took over from.")
    brokers = serializers.SerializerMethodField(help_text="Where it is listed.")

    def get_brokers(self, instrument: Instrument) -> ListingAnswer(many=True):  # type: ignore[valid-type]
        listings = sorted(instrument.listings.all(), key=lambda listing: registry.order_of(listing.broker_type))
        return ListingAnswer(listings, many=True).data


class SearchAnswer(serializers.Serializer[Any]):
    instruments = InstrumentAnswer(many=True)


class QuotesQuery(serializers.Serializer[Any]):
    instruments = serializers.CharField(
        max_length=20_000,
        help_text=f"At most {MOST_QUOTES}, separated by commas: exchange and its own number, `NSE:2885`, or an "
        "instrument's id.",
    )

    def validate_instruments(self, text: str) -> list[str]:
        asked = list(dict.fromkeys(text.split(",")))
        wrong = [each for each in asked if not INSTRUMENT.fullmatch(each)]
        if wrong:
            raise serializers.ValidationError(f"Neither an exchange and its number nor an id: {wrong[0][:40]}")
        if len(asked) > MOST_QUOTES:
            raise serializers.ValidationError(f"At most {MOST_QUOTES} at once.")
        return asked


class QuoteAnswer(serializers.Serializer[Any]):
    instrument = serializers.CharField(help_text="As it was asked for.")
    exchange = serializers.ChoiceField(words_of(Exchange), allow_null=True)
    exchange_token = serializers.CharField(allow_null=True)
    last_price = Exact(help_text="INR; null where nobody told one.")
    close_price = Exact(help_text="INR, of the previous day.")
    # To the checker it is DRF's attribute of this name.
    source = serializers.CharField(  # type: ignore[assignment]
        allow_null=True, help_text="The broker whose stream told it."
    )
    as_of = Instant(allow_null=True)
    stale = serializers.BooleanField(help_text="No stream stands for this price now, and nobody is asked for it.")
    asked = serializers.BooleanField(help_text="No stream told it: the source was asked for it.")


class QuotesAnswer(serializers.Serializer[Any]):
    quotes = QuoteAnswer(many=True)


class LevelAnswer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="The exchange's own.")
    symbol = serializers.CharField(help_text="What derivatives call it.")
    exchange = serializers.ChoiceField(words_of(Exchange))
    instrument = serializers.CharField(help_text="What the socket's price topic, and `market/quotes`, call it.")
    instrument_id = serializers.IntegerField(allow_null=True, help_text="null where no master that was read lists it.")
    last_price = Exact(help_text="Points; null where it is not known.")
    close_price = Exact(help_text="Of the previous day; null where whoever tells the price does not tell it.")
    change = Exact(help_text="Points since the previous close.")
    change_percent = Exact(help_text="The same in percent, to two places.")
    as_of = Instant(allow_null=True)
    # To the checker it is DRF's attribute of this name.
    source = serializers.CharField(  # type: ignore[assignment]
        allow_null=True, help_text="The broker that told it."
    )
    state = serializers.ChoiceField(words_of(LevelState))
    reason = serializers.CharField(allow_null=True, help_text="Why it is not live, in a sentence; null where it is.")


class SegmentAnswer(serializers.Serializer[Any]):
    segment = serializers.ChoiceField(words_of(Segment))
    exchange = serializers.ChoiceField(words_of(Exchange), help_text="Whose hours these are.")
    is_open = serializers.BooleanField(allow_null=True, help_text="null: not known, which is never open.")
    phase = serializers.ChoiceField(words_of(Phase), allow_null=True)
    words = serializers.CharField(help_text="`Open`, `Pre-open`, `Closed: Christmas`.")
    coming = serializers.CharField(help_text="`Closes 15:30`, `Opens Mon 09:15`; empty where it is not known.")
    changes_at = Instant(allow_null=True, help_text="When that comes.")


class IndicesAnswer(serializers.Serializer[Any]):
    as_of = Instant()
    indices = LevelAnswer(many=True)
    segments = SegmentAnswer(many=True)


class CandlesQuery(serializers.Serializer[Any]):
    instrument = serializers.IntegerField(min_value=1, max_value=2**63 - 1, help_text="The id of an instrument.")
    to = serializers.DateField(required=False, help_text="The last day; today if it is not said.")
    limit = serializers.IntegerField(min_value=1, max_value=MOST_CANDLES, default=USUAL_CANDLES)

    def get_fields(self) -> dict[str, Any]:
        """And `from`, which no attribute can be called."""
        first = serializers.DateField(required=False, help_text="The first day; a year before `to` if it is not said.")
        return {**super().get_fields(), "from": first}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "from" in attrs and "to" in attrs and attrs["from"] > attrs["to"]:
            raise serializers.ValidationError({"from": "It is after the last day."})
        return attrs


class CandleAnswer(serializers.Serializer[Any]):
    day = serializers.DateField()
    open = Exact(source="open_price", help_text="INR per unit.")
    high = Exact(source="high_price")
    low = Exact(source="low_price")
    close = Exact(source="close_price")
    volume = Exact(help_text="Units; null where the broker does not say.")
    broker_type = serializers.CharField(source="source", help_text="Who told it.")
    suspected_split = serializers.BooleanField(
        help_text="The step from the day before looks like a split or bonus that nobody adjusted: it is no return."
    )
    disputed = serializers.BooleanField(help_text="Another broker tells another close.")


class CandlesAnswer(serializers.Serializer[Any]):
    instrument = serializers.IntegerField(help_text="As it was asked for.")
    kept_at = serializers.IntegerField(
        allow_null=True, help_text="The instrument whose days these are: a share has one history, at NSE where it can."
    )
    state = serializers.ChoiceField(
        FillState.values, allow_null=True, help_text="How far the past is there; null where nobody wanted it."
    )
    candles = CandleAnswer(many=True, help_text="Oldest first.")
    next = serializers.DateField(allow_null=True, help_text="The `from` of what follows; null at the end.")


class MarketStateAnswer(serializers.Serializer[Any]):
    exchange = serializers.ChoiceField(words_of(Exchange))
    is_open = serializers.BooleanField(allow_null=True, help_text="null: not known, which is never open.")
    phase = serializers.ChoiceField(words_of(Phase), allow_null=True)
    until = Instant(allow_null=True, help_text="When this phase ends.")
    next_open = Instant(allow_null=True, help_text="null while open, and where the calendar does not reach.")


class MarketAnswer(MarketStateAnswer):
    note = serializers.CharField(help_text="What is special about today, such as the name of a holiday; or nothing.")
    closing_auction = MarketStateAnswer(
        allow_null=True, help_text="The same for shares that close by the closing auction; null where there is none."
    )


class StatusAnswer(serializers.Serializer[Any]):
    as_of = Instant()
    markets = MarketAnswer(many=True)
