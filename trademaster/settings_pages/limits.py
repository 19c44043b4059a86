"""Limits on the book and on single orders: how each stands, setting, changing and removing them; and breaches."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.text import capfirst

from accounts.models import User
from portfolio import breaches, limits
from portfolio.limit_models import LimitWatch
from portfolio.limit_refusals import AlreadyAcknowledged, LimitRefused
from portfolio.limit_views import AcknowledgeRequest, LimitChange, LimitRequest
from portfolio.risk.evaluating import DAY_LOSS, PER_ORDER
from portfolio.risk.limits import Action, Limit, Metric, Scope, State
from portfolio.risk_models import RiskBreach, RiskLimit
from portfolio.risk_page import IN_PART, STATES, TONES, meter
from trademaster.glossary import TERMS
from trademaster.pages import trader_page
from trademaster.settings_pages import edge, limit_words
from trademaster.settings_pages.edge import for_traders
from trademaster.settings_pages.limit_words import BETWEEN, Names

PAGE = "settings-limits"
MOST_ENDED = 20
PROBLEMS = {
    "measuring_failed": "Not everything could be measured at the last look: what was well may be “not known”.",
    "look_failed": "The last look at your limits failed: they stand as they stood before, and orders are held to that.",
}
BESIDE: edge.Beside = {
    "limit_without_level": ("block", "Enter one of the two."),
    "warn_above_block": ("warn", "Enter a warning level that is not above the block level."),
    "limit_scope_wrong": ("of", "Choose another."),
    "limit_key_wrong": ("of", "Choose another."),
    "action_without_block": ("action", "Enter a block level, or choose “tell me”."),
    "day_loss_must_stop": ("action", "Choose one of those that stop orders, or leave the block level empty."),
    "kill_needs_the_book": ("action", "Choose another."),
    "limit_exists": ("of", "Change that one, in the list of limits."),
    "too_many_limits": (None, "Remove one first."),
}


class LevelsForm(edge.Judged):
    """`action` is offered as far as the service takes it for this metric."""

    beside = BESIDE

    warn = forms.CharField(required=False, label="Warning level")
    block = forms.CharField(required=False, label="Block level")
    action = forms.CharField(required=False, label="At the block level", widget=forms.Select)
    note = forms.CharField(required=False, label="Note", widget=forms.TextInput(attrs={"maxlength": 200}))

    def __init__(self, *args: Any, user: User, metric: Metric, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        typed_in = limit_words.TYPED_IN[limit_words.unit_of(metric)]
        self.fields["warn"].help_text = f"In {typed_in}. You are told, and nothing is stopped. Empty: no warning."
        self.fields["block"].help_text = f"In {typed_in}. Empty: nothing is stopped, and you are not told of it."
        for name in ("warn", "block"):
            self.fields[name].widget.attrs |= {"inputmode": "decimal", "autocomplete": "off", "class": "short"}
            if limit_words.unit_of(metric) in limit_words.AMOUNTS:
                self.fields[name].widget.attrs |= edge.AMOUNT
        offered = limit_words.actions_of(user, metric)
        self.fields["action"].widget.choices = [
            (action.value, capfirst(limit_words.ACTIONS[action])) for action in offered
        ]
        if metric in DAY_LOSS:
            self.fields["action"].help_text = (
                "Once it is proved, the block level locks trading for the rest of the day, whatever is chosen; nobody "
                "lifts that before the close."
            )

    def body(self, typed: dict[str, Any]) -> dict[str, Any]:
        levels = {name: edge.typed_number(typed.get(name, "")) for name in ("warn", "block")}
        # Without a block level there is nothing to be done at it.
        action = typed.get("action") if levels["block"] is not None else Action.NOTIFY.value
        return {**typed, **levels, "action": action or Action.NOTIFY.value}


class NewLimit(LevelsForm):
    serializer = LimitRequest
    called = {"scope": "of", "scope_key": "of"}
    field_order = ("of", "strategy")

    of = forms.CharField(required=False, label="Of", widget=forms.Select)
    strategy = forms.CharField(
        required=False,
        label="Name of the strategy",
        help_text="Only with “each strategy by itself”, to watch one alone: the name that its orders carry.",
        widget=forms.TextInput(attrs={"maxlength": 120, "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, user: User, metric: Metric, names: Names, **kwargs: Any) -> None:
        super().__init__(*args, user=user, metric=metric, **kwargs)
        self.metric = metric
        self.fields["of"].widget.choices = names.choices(metric)
        if Scope.STRATEGY not in limit_words.scopes_of(metric):
            del self.fields["strategy"]

    def body(self, typed: dict[str, Any]) -> dict[str, Any]:
        scope, _, key = typed.get("of", "").partition(BETWEEN)
        if scope == Scope.STRATEGY:
            key = typed.get("strategy", "")
        return {**super().body(typed), "metric": self.metric.value, "scope": scope, "scope_key": key}


class ChangedLimit(LevelsForm):
    serializer = LimitChange
    field_order = ("is_enabled", "warn", "block", "action", "note")

    is_enabled = forms.BooleanField(required=False, label="On")


@for_traders("GET")
def overview(request: HttpRequest, user: User) -> HttpResponse:
    names = limit_words.names_of(user)
    rows = [_told(row, names) for row in limits.limits_of(user, now=timezone.now())]
    watch = LimitWatch.objects.get(pk=user.pk)
    found = RiskBreach.objects.filter(user=user).select_related("acknowledged_by", "limit")
    return trader_page(
        request,
        "settings/limits.html",
        of_the_book=[each for each in rows if not each["is_per_order"]],
        of_orders=[each for each in rows if each["is_per_order"]],
        standing=[_breach(row, names) for row in found.filter(cleared_at=None)],
        ended=[_breach(row, names) for row in found.exclude(cleared_at=None)[:MOST_ENDED]],
        looked_at=watch.looked_at,
        problem=PROBLEMS.get(watch.problem, watch.problem),
    )


@for_traders("GET", "POST")
def add(request: HttpRequest, user: User) -> HttpResponse:
    """First of what, then of whom and how much: each metric has its own unit, scopes and actions."""
    metric = _metric(request.GET.get("metric", ""))
    if metric is None:
        every = [(each.value, limit_words.METRICS[each], TERMS[each.lower()].meaning) for each in Metric]
        groups = [
            ("Of the book", [each for each in every if Metric(each[0]) not in PER_ORDER]),
            ("Of single orders", [each for each in every if Metric(each[0]) in PER_ORDER]),
        ]
        return trader_page(request, "settings/limit_metrics.html", groups=groups)
    names = limit_words.names_of(user)
    form = NewLimit(edge.typed(request), user=user, metric=metric, names=names)
    if request.method == "POST" and form.is_valid():
        asked = form.judged
        limit = Limit(
            metric=metric,
            scope=Scope(asked["scope"]),
            scope_key=asked["scope_key"],
            warn=asked["warn"],
            block=asked["block"],
            action=Action(asked["action"]),
        )
        try:
            row = limits.create(user, limit, note=asked["note"], by=user, now=timezone.now())
        except LimitRefused as refusal:
            form.refuse(refusal)
        else:
            told = _told(row, names)
            messages.success(request, f"The limit is set: {told['name']}, {told['of']}. It is watched from now on.")
            return redirect(PAGE)
    told_of = {"name": limit_words.METRICS[metric], "meaning": TERMS[metric.lower()].meaning}
    return trader_page(request, "settings/limit_new.html", form=form, metric=told_of)


@for_traders("GET", "POST")
def change(request: HttpRequest, user: User, id: int) -> HttpResponse:
    """Whatever lets more through asks for a fresh proof, as in the API; what was typed waits for it."""
    row = _limit(user, id)
    typed = request.POST if request.method == "POST" else edge.kept(request)
    form = ChangedLimit(typed, user=user, metric=Metric(row.metric), row=row, initial=_initial(row))
    if request.method == "POST" and form.is_valid():
        loosens = limits.lets_more_through(row, form.judged)
        if loosens and (to_proof := edge.led_to_proof(request, request.path, keep=True)):
            return to_proof
        try:
            limits.change(row, by=user, now=timezone.now(), **form.judged)
        except LimitRefused as refusal:
            form.refuse(refusal)
        else:
            messages.success(request, "The limit is changed.")
            return redirect(PAGE)
    limit = _told(_limit(user, id), limit_words.names_of(user))
    return trader_page(request, "settings/limit_change.html", form=form, limit=limit)


@for_traders("GET", "POST")
def remove(request: HttpRequest, user: User, id: int) -> HttpResponse:
    row = _limit(user, id)
    blocks = row.block is not None and row.is_enabled
    if blocks and (to_proof := edge.led_to_proof(request, request.path)):
        return to_proof
    if request.method != "POST":
        limit = _told(row, limit_words.names_of(user))
        return trader_page(request, "settings/limit_remove.html", limit=limit)
    limits.remove(row, by=user, now=timezone.now())
    messages.success(request, "The limit is removed. Its breaches stay to be read.")
    return redirect(PAGE)


@for_traders("POST")
def acknowledge(request: HttpRequest, user: User, id: int) -> HttpResponse:
    breach = get_object_or_404(RiskBreach.objects.select_related("limit", "acknowledged_by"), pk=id, user=user)
    body = AcknowledgeRequest(data={"note": request.POST.get("note", "")})
    if not body.is_valid():
        messages.error(request, "Nothing was noted: a note has 300 characters at most.")
        return redirect(PAGE)
    try:
        breaches.acknowledge(breach, by=user, note=body.validated_data["note"], now=timezone.now())
    except AlreadyAcknowledged as refusal:
        messages.error(request, f"{refusal.detail} Who did, and what they noted, stands below.")
    else:
        messages.success(request, "Noted. You are not told of it again, unless it gets worse.")
    return redirect(PAGE)


def _limit(user: User, id: int) -> RiskLimit:
    return get_object_or_404(RiskLimit.objects.select_related("user"), pk=id, user=user)


def _metric(text: str) -> Metric | None:
    return Metric(text) if text in list(Metric) else None


def _initial(row: RiskLimit) -> dict[str, Any]:
    levels = {name: None if (value := getattr(row, name)) is None else f"{value.normalize():f}" for name in LEVELS}
    return {**levels, "action": row.action, "is_enabled": row.is_enabled, "note": row.note}


LEVELS = ("warn", "block")


def _told(row: RiskLimit, names: Names) -> dict[str, Any]:
    """A limit in words. No `meter`: nothing to draw."""
    state, is_per_order = State(row.state), row.metric in PER_ORDER
    many = sorted(row.states.items()) if not row.scope_key else ()  # of one alone the row says it
    keys = [_key(each, names.of(row.scope, key), row) for key, each in many if key]
    is_drawn = row.is_enabled and not is_per_order
    is_amount = limit_words.unit_of(row.metric) in limit_words.AMOUNTS
    return {
        "pk": row.pk,
        "term": row.metric.lower(),
        "name": limit_words.METRICS[Metric(row.metric)],
        "of": names.of(row.scope, row.scope_key),
        "is_per_order": is_per_order,
        "is_amount": is_amount,
        "is_of_each": row.scope != Scope.GLOBAL and not row.scope_key,
        "value": _figure(row.value, row),
        "warn": limit_words.level(row.warn, row.metric),
        "block": limit_words.level(row.block, row.metric),
        "action": limit_words.ACTIONS[Action(row.action)],
        "meter": meter(row.value, row.warn, row.block, is_amount=is_amount) if is_drawn else None,
        "note": row.note,
        "is_enabled": row.is_enabled,
        "state": _state(row),
        "tone": TONES[state] if _is_watched(row) else "plain",
        "code": state.value if row.is_enabled else "OFF",
        "since": row.state_since if state in (State.WARN, State.BLOCK) else None,
        "evaluated_at": row.evaluated_at,
        "stops": row.is_enabled and row.block is not None and row.action != Action.NOTIFY,
        "locks": row.metric in DAY_LOSS and row.block is not None,
        "kills": row.action == Action.KILL and row.block is not None,
        "reached": [each for each in keys if each["is_reached"]],
        "unknown": sum(not each["is_reached"] for each in keys),
    }


def _is_watched(row: RiskLimit) -> bool:
    """Whether its state says anything: it is on, and was held against a book."""
    return row.is_enabled and row.metric not in PER_ORDER and row.evaluated_at is not None


def _state(row: RiskLimit) -> str:
    if not row.is_enabled:
        return "Off"
    if row.metric in PER_ORDER:
        return "Each order"
    if row.evaluated_at is None:
        return "Not looked at yet"
    return IN_PART if row.state == State.UNKNOWN and row.value is not None else STATES[State(row.state)]


def _key(told: dict[str, Any], name: str, row: RiskLimit) -> dict[str, Any]:
    """Of those that a limit watches one by one: such as one issuer."""
    state, value = State(told["state"]), told["value"]
    return {
        "name": name,
        "state": STATES[state],
        "tone": TONES[state],
        "is_reached": state in (State.WARN, State.BLOCK),
        "value": _figure(None if value is None else Decimal(value), row),
    }


def _figure(value: Decimal | None, row: RiskLimit) -> str | None:
    return limit_words.level(value, row.metric, beside=[row.warn, row.block])


def _breach(row: RiskBreach, names: Names) -> dict[str, Any]:
    return {
        "row": row,
        "name": limit_words.METRICS[Metric(row.metric)],
        "of": names.of(row.scope, row.scope_key),
        "is_block": row.level == State.BLOCK,
        "level": "Block level" if row.level == State.BLOCK else "Warning level",
        "tone": TONES[State(row.level)],
        "is_amount": limit_words.unit_of(row.metric) in limit_words.AMOUNTS,
        "threshold": limit_words.level(row.threshold, row.metric),
        "value": limit_words.level(row.value, row.metric, beside=[row.threshold]),
        "worst": limit_words.level(row.worst_value, row.metric, beside=[row.threshold]),
    }
