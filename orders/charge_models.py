"""The dated rows that deals are charged by, what single accounts agreed instead, and what contract notes said.

Rows of rates are never deleted: one that is over gets a last day, and what was reckoned by it can be reckoned again.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from brokers.models import BrokerConnection
from orders.tariffs import ANY, SEGMENTS, Brokerage, ChargeError, Plan, exact_number


class Confidence(models.TextChoices):
    """How well a rate is known. Only `confirmed` was read in a law, a circular, or twice."""

    CONFIRMED = "confirmed", "Confirmed"
    DERIVED = "derived", "Follows from a confirmed one"
    PARTLY = "partly", "Read once, or without its date"
    UNCONFIRMED = "unconfirmed", "Not confirmed"


class DatedRow(models.Model):
    """Holds from one day to another, both included; no last day: until further notice.

    `version` goes up by one with every change, so that the sum over all rows names what they say.
    """

    effective_from = models.DateField()
    effective_to = models.DateField(null=True, blank=True, help_text="The last day. Empty: until further notice.")
    status = models.CharField(max_length=11, choices=Confidence.choices)
    sources = models.JSONField(default=list, blank=True)
    updated_at = models.DateTimeField(auto_now=True)
    version = models.BigIntegerField(default=1, editable=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        if self._state.adding:
            super().save(*args, **options)
            return
        self.version = F("version") + 1
        super().save(*args, **options)
        self.refresh_from_db(fields=["version"])

    def clean(self) -> None:
        if self.effective_to is not None and self.effective_from and self.effective_to < self.effective_from:
            raise ValidationError({"effective_to": "It would end before it begins."})
        if self.effective_from and (others := self.overlapping()).exists():
            raise ValidationError(f"{others.first()} holds on some of these days already. Give that one a last day.")

    def overlapping(self) -> models.QuerySet[Any]:
        """Other rows for the same that hold on one of this one's days."""
        days = Q(effective_to__isnull=True) | Q(effective_to__gte=self.effective_from)
        if self.effective_to is not None:
            days &= Q(effective_from__lte=self.effective_to)
        return type(self)._default_manager.filter(days).exclude(pk=self.pk)

    def plain_days(self) -> dict[str, Any]:
        return {
            "effective_from": self.effective_from.isoformat(),
            "effective_to": self.effective_to.isoformat() if self.effective_to else None,
            "status": self.status,
            "sources": self.sources,
        }


class StatutoryRate(DatedRow):
    """One rate of the state, the exchange or the regulator: a fraction of its basis. The words are charges.json's.

    `applies_to`, `bse_groups`, `underlyings`: for these alone; empty: for all. `of`: what GST lies on.
    """

    FILTERS = ("applies_to", "bse_groups", "underlyings")

    component = models.CharField(max_length=20)
    segment = models.CharField(max_length=20)
    exchange = models.CharField(max_length=3)
    side = models.CharField(max_length=5, choices=[(side, side) for side in ("buy", "sell", "both", "buyer")])
    rate = models.DecimalField(max_digits=18, decimal_places=12)
    basis = models.CharField(max_length=20)
    applies_to = models.JSONField(default=list, blank=True)
    bse_groups = models.JSONField(default=list, blank=True)
    underlyings = models.JSONField(default=list, blank=True)
    of = models.JSONField(default=list, blank=True)
    note = models.TextField(blank=True)

    class Meta:
        db_table = "order_statutory_rates"
        ordering = ["component", "segment", "exchange", "effective_from", "id"]
        default_permissions = ("add", "change", "view")
        constraints = [models.CheckConstraint(condition=Q(rate__gte=0), name="statutory_rate_is_not_negative")]

    def __str__(self) -> str:
        return f"{self.component} {self.segment} {self.exchange} {self.side} from {self.effective_from}"

    def clean(self) -> None:
        for name in (*self.FILTERS, "of"):
            words = getattr(self, name)
            if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
                raise ValidationError({name: "A list of words in quotation marks."})
        super().clean()

    def overlapping(self) -> models.QuerySet[Any]:
        same = super().overlapping().filter(component=self.component)
        for name, either in (("segment", ANY), ("exchange", ANY), ("side", "both")):
            mine = getattr(self, name)
            if mine != either:
                same = same.filter(**{f"{name}__in": (mine, either)})
        disjoint = [row.pk for row in same if any(self._is_beside(row, name) for name in self.FILTERS)]
        return same.exclude(pk__in=disjoint)

    def _is_beside(self, other: StatutoryRate, name: str) -> bool:
        mine, theirs = set(getattr(self, name)), set(getattr(other, name))
        return bool(mine and theirs and not mine & theirs)

    def plain(self) -> dict[str, Any]:
        """The row as in charges.json."""
        listed = {name: getattr(self, name) for name in (*self.FILTERS, "of") if getattr(self, name)}
        words = {name: getattr(self, name) for name in ("component", "segment", "exchange", "side", "basis")}
        return {**words, "rate": f"{self.rate.normalize():f}", **self.plain_days(), **listed}


class BrokerPlan(DatedRow):
    """One plan of one broker. `terms` holds `brokerage`, `clearing`, `dp_sell`, `mtf`, `regulatory_ceiling`.

    Several may be open at once: an account has one of them, and without its word the one with `is_default`.
    """

    broker = models.CharField(max_length=20)
    plan_id = models.CharField(max_length=40)
    is_default = models.BooleanField(default=False)
    terms = models.JSONField()
    verified_on = models.DateField(null=True, blank=True)
    notes = models.JSONField(default=list, blank=True)

    class Meta:
        db_table = "order_broker_plans"
        ordering = ["broker", "-is_default", "effective_from", "id"]
        default_permissions = ("add", "change", "view")

    def __str__(self) -> str:
        return f"{self.broker} {self.plan_id} from {self.effective_from}"

    def clean(self) -> None:
        if self.effective_from:
            try:
                Plan.from_plain(self.broker, self.plain())
            except (ChargeError, KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
                raise ValidationError({"terms": f"They cannot be read: {type(error).__name__} {error}."}) from None
        super().clean()

    def overlapping(self) -> models.QuerySet[Any]:
        same = Q(plan_id=self.plan_id) | Q(is_default=True) if self.is_default else Q(plan_id=self.plan_id)
        return super().overlapping().filter(same, broker=self.broker)

    def plain(self) -> dict[str, Any]:
        """The plan as in charges.json."""
        return {"plan_id": self.plan_id, "is_default": self.is_default, **self.plain_days(), **self.terms}


class AccountTerms(models.Model):
    """What one account pays, where it is not its broker's usual plan. No row: the usual plan.

    `overrides`: `{"brokerage": {segment: rule}, "dp_sell": amount}`, rules and amounts as in charges.json.
    """

    broker_connection = models.OneToOneField(
        BrokerConnection, on_delete=models.CASCADE, primary_key=True, related_name="charge_terms"
    )
    plan_id = models.CharField(max_length=40, blank=True)
    is_woman = models.BooleanField(default=False)
    overrides = models.JSONField(default=dict, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "order_account_terms"
        verbose_name_plural = "account terms"

    def __str__(self) -> str:
        return f"Terms of {self.broker_connection_id}"

    def clean(self) -> None:
        try:
            own_terms(self.overrides)
        except (ChargeError, KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise ValidationError({"overrides": f"They cannot be read: {type(error).__name__} {error}."}) from None


class ContractNote(models.Model):
    """What the broker's contract note says that a child order cost: it takes the place of the estimate.

    `components` are those of `charges.Costs`, as text; what the note does not tell apart is not in it. `total` is the
    note's own. Notes can be corrected by a later one; the row then holds the later.
    """

    child = models.OneToOneField("orders.ChildOrder", on_delete=models.PROTECT, related_name="note")
    number = models.CharField(max_length=60, blank=True)
    dated = models.DateField()
    components = models.JSONField()
    total = models.DecimalField(max_digits=20, decimal_places=4)
    source = models.CharField(max_length=40)
    noted_at = models.DateTimeField()

    class Meta:
        db_table = "order_contract_notes"
        ordering = ["-dated", "-id"]

    def __str__(self) -> str:
        return f"Note {self.number or self.pk} of {self.dated}"


def plain_terms(brokerage: Mapping[str, Brokerage], debit: Decimal | None) -> dict[str, Any]:
    """`AccountTerms.overrides` of what was read: nothing else that was sent beside it is kept."""
    rules = {segment: rule.plain() for segment, rule in brokerage.items()}
    return ({"brokerage": rules} if rules else {}) | ({"dp_sell": f"{debit:f}"} if debit is not None else {})


def own_terms(overrides: Any) -> tuple[dict[str, Brokerage], Any]:
    """The rules by segment and the debit charge of `AccountTerms.overrides`. Raises ChargeError and what JSON may."""
    unknown = set(overrides) - {"brokerage", "dp_sell"}
    if unknown:
        raise ChargeError(f"There is no override of {', '.join(sorted(unknown))}.", code="overrides_unknown")
    if not set(overrides.get("brokerage", {})) <= set(SEGMENTS):
        raise ChargeError(f"The segments are {', '.join(SEGMENTS)}.", code="overrides_unknown")
    brokerage = {segment: Brokerage.from_plain(rule) for segment, rule in overrides.get("brokerage", {}).items()}
    return brokerage, exact_number(overrides, "dp_sell") if "dp_sell" in overrides else None
