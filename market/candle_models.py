"""Rows of the past: what each instrument did on each day, what is still to be asked, and which sector a share is in."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models import Q

from brokers.models import broker_choices


def price(**options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=20, decimal_places=4, **options)


class DailyCandle(models.Model):
    """One instrument on one trading day (IST): INR per unit, units. `source` is the broker that told it first.

    A share has one history, kept at its listing at NSE, or at BSE where it has no other. `suspected_split`: the step
    from the day before looks like a split or a bonus that nobody adjusted, and is no return. `disputed_close` is what
    another broker, `disputed_by`, said of this day; `disputes` counts how often somebody did. Volume null: not told.
    """

    instrument = models.ForeignKey(
        "market.Instrument", on_delete=models.CASCADE, related_name="candles", db_index=False
    )
    day = models.DateField()
    open_price = price()
    high_price = price()
    low_price = price()
    close_price = price()
    volume = price(null=True)
    source = models.CharField(max_length=20, choices=broker_choices)
    fetched_at = models.DateTimeField()
    suspected_split = models.BooleanField(default=False)
    disputes = models.PositiveSmallIntegerField(default=0)
    disputed_by = models.CharField(max_length=20, choices=broker_choices, blank=True)
    disputed_close = price(null=True)

    class Meta:
        db_table = "market_daily_candles"
        ordering = ["instrument", "-day"]
        constraints = [
            models.UniqueConstraint(fields=["instrument", "day"], name="uniq_daily_candle"),
            models.CheckConstraint(condition=Q(close_price__gt=0), name="a_close_is_a_price"),
        ]
        indexes = [
            models.Index(fields=["-day"], condition=Q(disputes__gt=0), name="idx_candle_disputed"),
            models.Index(fields=["-day"], condition=Q(suspected_split=True), name="idx_candle_suspected"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} on {self.day}"

    @property
    def disputed(self) -> bool:
        return self.disputes > 0


class FillState(models.TextChoices):
    WAITING = "WAITING", "Nothing was told yet"
    FILLED = "FILLED", "All whole days were asked for"
    FAILING = "FAILING", "Was not told the last time, and is asked again"
    UNSUPPORTED = "UNSUPPORTED", "No broker tells it"


class CandleFillQuerySet(models.QuerySet["CandleFill"]):
    def due(self, now: datetime, *, wanted_since: datetime) -> Self:
        return self.filter(next_due_at__lte=now, wanted_at__gt=wanted_since)

    def claim(self, now: datetime, *, lease: datetime, wanted_since: datetime, at_most: int) -> list[CandleFill]:
        """Take due rows until `lease`, those due longest first. Any number of claimers share them, each row is one's.

        The lease is the new due time itself: what gets lost comes round again. The rows are chosen apart from the
        UPDATE, or PostgreSQL might choose them anew for every row it looks at.
        """
        return list(
            self.raw(
                """
                WITH due AS MATERIALIZED (
                    SELECT instrument_id FROM market_candle_fills
                    WHERE next_due_at <= %(now)s AND wanted_at > %(wanted_since)s
                    ORDER BY next_due_at, instrument_id LIMIT %(at_most)s FOR UPDATE SKIP LOCKED
                )
                UPDATE market_candle_fills AS row SET next_due_at = %(lease)s
                FROM due WHERE row.instrument_id = due.instrument_id
                RETURNING row.*
                """,
                {"now": now, "lease": lease, "wanted_since": wanted_since, "at_most": at_most},
            )
        )


class CandleFill(models.Model):
    """What is wanted of one instrument's past, and how far it is there.

    `covered_from` to `covered_until` was asked for and answered, days without trades included; `first_day`, `last_day`
    and `day_count` are of the candles held. While it is claimed, `next_due_at` is the end of the lease. `source` is
    whose series it is. `refused`: broker → `{"code", "until"}`, who will not tell it before then. `attempts` counts
    those since all was told.
    """

    instrument = models.OneToOneField(
        "market.Instrument", on_delete=models.CASCADE, primary_key=True, related_name="candle_fill"
    )
    state = models.CharField(max_length=11, choices=FillState.choices, default=FillState.WAITING)
    wanted_at = models.DateTimeField()
    next_due_at = models.DateTimeField()
    covered_from = models.DateField(null=True)
    covered_until = models.DateField(null=True)
    first_day = models.DateField(null=True)
    last_day = models.DateField(null=True)
    day_count = models.PositiveIntegerField(default=0)
    source = models.CharField(max_length=20, choices=broker_choices, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    last_asked_at = models.DateTimeField(null=True)
    last_broker = models.CharField(max_length=20, choices=broker_choices, blank=True)
    last_error_code = models.CharField(max_length=60, blank=True)
    unreadable_count = models.PositiveIntegerField(default=0)
    refused = models.JSONField(default=dict)
    replaced_at = models.DateTimeField(null=True)

    objects = CandleFillQuerySet.as_manager()

    class Meta:
        db_table = "market_candle_fills"
        ordering = ["next_due_at", "instrument"]
        indexes = [models.Index(fields=["next_due_at"], name="idx_candle_fill_due")]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The due time it was read with: what is written later must not undo what others did meanwhile.
        self.lease = self.next_due_at

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.state}"


class Sector(models.Model):
    """Which sector a company is in, as `source` said on `as_of`. An ISIN without a row is unclassified."""

    isin = models.CharField(max_length=12, primary_key=True)
    sector = models.CharField(max_length=80)
    source = models.CharField(max_length=120)
    as_of = models.DateField()

    class Meta:
        db_table = "market_sectors"
        ordering = ["isin"]

    def __str__(self) -> str:
        return f"{self.isin} {self.sector}"
