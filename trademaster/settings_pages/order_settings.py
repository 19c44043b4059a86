"""Which orders wait for one's approval, and how the router spreads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from accounts.models import User
from brokers.domain import Product
from brokers.models import BrokerConnection
from orders import preferences
from orders.models import OrderSettings
from orders.refusals import UnknownConnection
from orders.serializers import PRODUCTS, SettingsRequest
from trademaster.pages import trader_page
from trademaster.settings_pages import edge
from trademaster.settings_pages.edge import for_traders

PAGE = "settings-orders"
PRODUCT_WORDS = {
    Product.CNC: "CNC: delivery",
    Product.MIS: "MIS: intraday",
    Product.NRML: "NRML: carried forward",
    Product.MTF: "MTF: funded by the broker",
}
PLACE = "place_"
BESIDE: edge.Beside = {"unknown_connection": (None, "Load this page again: an account was disconnected meanwhile.")}


class SettingsForm(edge.Judged):
    """Beside what is named here, one field per account: its place in the owner's preference."""

    serializer = SettingsRequest
    beside = BESIDE

    approval_above = forms.CharField(
        required=False, label="Orders above this value wait for my approval",
        help_text="In rupees. Empty: none waits because of its value.",
    )  # fmt: skip
    approval_products = forms.MultipleChoiceField(
        required=False,
        label="Orders of these products always wait",
        choices=[(product, PRODUCT_WORDS[Product(product)]) for product in PRODUCTS],
        widget=forms.CheckboxSelectMultiple,
    )
    approval_minutes = forms.CharField(
        required=False, label="Minutes an order waits", help_text="Then it ends, and nothing was sent to a broker."
    )
    split_penalty = forms.CharField(
        required=False, label="One broker more must save",
        help_text="In rupees. An order is spread over one broker more only where that costs less by so much.",
    )  # fmt: skip
    sells_unsettled = forms.BooleanField(
        required=False, label="Sell shares that were bought yesterday (BTST)",
        help_text="They have not been delivered yet: if the seller fails, you owe the shares, and an auction decides.",
    )  # fmt: skip
    minimises_tax = forms.BooleanField(
        required=False, label="Prefer the account whose sale costs the least tax",
        help_text="By purchase date and price as far as they are known here; no advice.",
    )  # fmt: skip

    def __init__(self, *args: Any, accounts: Sequence[BrokerConnection], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("approval_above", "approval_minutes", "split_penalty"):
            self.fields[name].widget.attrs |= {"inputmode": "decimal", "autocomplete": "off", "class": "short"}
        for name in ("approval_above", "split_penalty"):
            self.fields[name].widget.attrs |= edge.AMOUNT
        places = [("", "no preference"), *((str(place), str(place)) for place in range(1, len(accounts) + 1))]
        for account in accounts:
            self.fields[f"{PLACE}{account.pk}"] = forms.CharField(
                required=False,
                label=edge.called(account.broker_name, account.display_name),
                widget=forms.Select(choices=places, attrs={"class": "short"}),
            )

    def clean(self) -> dict[str, Any]:
        typed = super().clean()
        taken: dict[str, str] = {}
        for name, place in self._places(typed):
            if place in taken:
                self.add_error(name, f"{self.fields[taken[place]].label} has this place. Give each its own, or none.")
            taken.setdefault(place, name)
        return typed

    def body(self, typed: dict[str, Any]) -> dict[str, Any]:
        wanted = sorted(self._places(typed), key=lambda each: int(each[1]))
        return {
            **typed,
            "approval_above": edge.typed_number(typed.get("approval_above", "")),
            "split_penalty": edge.typed_number(typed.get("split_penalty", "")),
            "broker_order": [name.removeprefix(PLACE) for name, _ in wanted],
        }

    def _places(self, typed: dict[str, Any]) -> list[tuple[str, str]]:
        """Field and place of the accounts that have one."""
        found = [(name, str(place)) for name, place in typed.items() if name.startswith(PLACE)]
        return [(name, place) for name, place in found if place.isdecimal()]

    def choices(self) -> list[forms.BoundField]:
        """Without those of accounts, which stand together."""
        return [field for field in self.visible_fields() if not field.name.startswith(PLACE)]

    def accounts(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name.startswith(PLACE)]


@for_traders("GET", "POST")
def order_settings(request: HttpRequest, user: User) -> HttpResponse:
    """Every change asks for a fresh proof, as in the API: it may let orders go without approval."""
    rows = BrokerConnection.objects.without_secrets().active().filter(user=user).order_by("broker_type", "account_id")
    accounts, chosen = list(rows), preferences.settings_of(user)
    typed = request.POST if request.method == "POST" else edge.kept(request)
    form = SettingsForm(typed, accounts=accounts, initial=_initial(chosen))
    if request.method == "POST" and form.is_valid():
        if to_proof := edge.led_to_proof(request, request.path, keep=True):
            return to_proof
        try:
            preferences.choose(user, **form.judged)
        except UnknownConnection as refusal:
            form.refuse(refusal)
        else:
            messages.success(request, "Saved. It holds for orders that are decided from now on.")
            return redirect(PAGE)
    return trader_page(request, "settings/orders.html", form=form, now=timezone.now())


def _initial(chosen: OrderSettings) -> dict[str, Any]:
    above = chosen.approval_above
    return {
        "approval_above": None if above is None else f"{above.normalize():f}",
        "approval_products": chosen.approval_products,
        "approval_minutes": chosen.approval_minutes,
        "split_penalty": f"{chosen.split_penalty.normalize():f}",
        "sells_unsettled": chosen.sells_unsettled,
        "minimises_tax": chosen.minimises_tax,
        **{f"{PLACE}{pk}": str(place) for place, pk in enumerate(chosen.broker_order, 1)},
    }
