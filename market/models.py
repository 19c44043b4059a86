"""What is traded, what each broker calls it, and on which days and hours. See docs/adr/0009."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from brokers.domain import Exchange, InstrumentKind, OptionType, Segment
from brokers.models import broker_choices
from market import candle_models  # noqa: F401 - Django finds a room's rows by this module


def choices(kind: type[Any]) -> list[tuple[str, str]]:
    return [(word.value, word.value) for word in kind]


class Instrument(models.Model):
    """One share at one exchange, one contract, one index: whoever names it.

    `identity` is what makes it one: `NSE|2885` for a share, `NFO|NIFTY|2026-12-29|27000|CE` for a contract. A share
    whose ISIN changes is followed by another row that `succeeds` it, and ends. `lot_size` is in units, for contracts
    that are counted in lots too; `freeze_quantity` is the last that passes. Unknown is null: no master tells `banned`.
    `words` is what the search looks through, `rank` its order among hits.
    """

    exchange = models.CharField(max_length=3, choices=choices(Exchange))
    segment = models.CharField(max_length=9, choices=choices(Segment))
    kind = models.CharField(max_length=6, choices=choices(InstrumentKind))
    identity = models.CharField(max_length=120)
    tradingsymbol = models.CharField(max_length=80, db_collation="C")
    exchange_token = models.CharField(max_length=40, null=True, blank=True)  # noqa: DJ001 - null is unknown
    isin = models.CharField(max_length=12, null=True, blank=True)  # noqa: DJ001
    name = models.CharField(max_length=160, blank=True)
    underlying = models.CharField(max_length=40, blank=True)
    expiry = models.DateField(null=True, blank=True)
    strike = models.DecimalField(max_digits=20, decimal_places=4, null=True, blank=True)
    option_type = models.CharField(max_length=2, choices=choices(OptionType), blank=True)
    lot_size = models.DecimalField(max_digits=20, decimal_places=4, null=True, blank=True)
    tick_size = models.DecimalField(max_digits=20, decimal_places=4, null=True, blank=True)
    freeze_quantity = models.DecimalField(max_digits=20, decimal_places=4, null=True, blank=True)
    series = models.CharField(max_length=10, blank=True)
    cas_eligible = models.BooleanField(null=True)
    banned = models.BooleanField(null=True)
    first_seen_on = models.DateField()
    last_seen_on = models.DateField()
    succeeds = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="successor")
    ended_on = models.DateField(null=True, blank=True)
    rank = models.PositiveSmallIntegerField()
    words = models.CharField(max_length=300)

    class Meta:
        db_table = "market_instruments"
        ordering = ["rank", "tradingsymbol", "id"]
        constraints = [
            models.UniqueConstraint(fields=["identity"], condition=Q(ended_on=None), name="uniq_living_instrument"),
        ]
        indexes = [
            models.Index(fields=["exchange", "exchange_token"], name="idx_instrument_token"),
            models.Index(fields=["isin"], name="idx_instrument_isin"),
            models.Index(fields=["rank", "tradingsymbol", "id"], name="idx_instrument_symbol"),
            models.Index(fields=["underlying", "expiry"], name="idx_instrument_underlying"),
        ]

    def __str__(self) -> str:
        return f"{self.exchange}:{self.tradingsymbol}"


class InstrumentListing(models.Model):
    """What one broker says of an instrument, in its last master: its names, and its word on what masters dispute.

    `lot_size` is in units, as in the instrument; null where the broker counts lots and does not say of how many.
    `multiplier` is the units in one of what this broker counts. `withdrawn_on`: its master no longer lists it.
    """

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="listings", db_index=False)
    broker_type = models.CharField(max_length=20, choices=broker_choices)
    broker_token = models.CharField(max_length=100)
    tradingsymbol = models.CharField(max_length=100)
    multiplier = models.DecimalField(max_digits=20, decimal_places=4)
    isin = models.CharField(max_length=12, null=True, blank=True)  # noqa: DJ001
    expiry = models.DateField(null=True, blank=True)
    lot_size = models.DecimalField(max_digits=20, decimal_places=4, null=True, blank=True)
    tick_size = models.DecimalField(max_digits=20, decimal_places=4, null=True, blank=True)
    freeze_quantity = models.DecimalField(max_digits=20, decimal_places=4, null=True, blank=True)
    withdrawn_on = models.DateField(null=True, blank=True)

    class Meta:
        db_table = "market_instrument_listings"
        constraints = [
            models.UniqueConstraint(fields=["instrument", "broker_type"], name="uniq_listing"),
        ]
        indexes = [models.Index(fields=["broker_type", "broker_token"], name="idx_listing_token")]

    def __str__(self) -> str:
        return f"{self.broker_type} {self.tradingsymbol}"


class DisputedField(models.TextChoices):
    ISIN = "isin", "ISIN"
    EXPIRY = "expiry", "expiry"
    LOT_SIZE = "lot_size", "lot size"
    TICK_SIZE = "tick_size", "tick size"


class InstrumentDispute(models.Model):
    """Two masters say different things of one instrument. Opened and closed by the loads; `said` is broker → value."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="disputes", db_index=False)
    field = models.CharField(max_length=10, choices=DisputedField.choices)
    said = models.JSONField()
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "market_instrument_disputes"
        ordering = ["-opened_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["instrument", "field"], condition=Q(closed_at=None), name="uniq_open_dispute"
            )
        ]
        indexes = [models.Index(fields=["opened_at"], name="idx_dispute_opened_at")]

    def __str__(self) -> str:
        return f"{self.field} of {self.instrument_id}"


class LoadOutcome(models.TextChoices):
    LOADED = "LOADED", "Loaded"
    REFUSED = "REFUSED", "Refused"  # the file is broken or suspicious: nothing was changed
    UNREACHABLE = "UNREACHABLE", "Unreachable"


class MasterLoad(models.Model):
    """One attempt to load one broker's master. `unreadable` counts, by field, the rows that were left out."""

    broker_type = models.CharField(max_length=20, choices=broker_choices)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    outcome = models.CharField(max_length=11, choices=LoadOutcome.choices)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    file_bytes = models.BigIntegerField(default=0)
    row_count = models.PositiveIntegerField(default=0)
    new_count = models.PositiveIntegerField(default=0)
    succeeded_count = models.PositiveIntegerField(default=0)
    withdrawn_count = models.PositiveIntegerField(default=0)
    unreadable = models.JSONField(default=dict)

    class Meta:
        db_table = "market_master_loads"
        ordering = ["-started_at", "-id"]
        indexes = [models.Index(F("broker_type"), F("started_at").desc(), name="idx_load_broker")]

    def __str__(self) -> str:
        return f"{self.broker_type} {self.outcome}"


class DayKind(models.TextChoices):
    OPEN = "OPEN", "Open"
    CLOSED = "CLOSED", "Closed"
    SPECIAL = "SPECIAL", "Special session"


class MarketDay(models.Model):
    """One exchange on one day. A day without a row is unknown, which is not the same as closed.

    `sessions` is a list of `{"phase", "from", "until", "cas"?}`, times IST as `HH:MM`, `cas` true for shares of the
    closing auction alone and false for all others alone. An open or special day without sessions: hours not known yet.
    `settles`: money and shares move on this day.
    """

    exchange = models.CharField(max_length=3, choices=choices(Exchange))
    date = models.DateField()
    kind = models.CharField(max_length=7, choices=DayKind.choices)
    sessions = models.JSONField(default=list, blank=True)
    settles = models.BooleanField(default=True)
    source = models.CharField(max_length=120, blank=True)
    note = models.CharField(max_length=200, blank=True)
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )
    edited_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        db_table = "market_days"
        ordering = ["date", "exchange"]
        constraints = [models.UniqueConstraint(fields=["exchange", "date"], name="uniq_market_day")]

    def __str__(self) -> str:
        return f"{self.exchange} {self.date}"
