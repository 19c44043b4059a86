"""The login page of a simulated broker, and what a user types there."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from string import Template

from brokers.simulation.book import Account
from brokers.simulation.sessions import random_text
from brokers.simulation.wire import HTML, Reply


@dataclass(frozen=True, slots=True)
class LoginField:
    """One field of the login form.

    Its right value comes from the account (`account` names the attribute), or is made at the first start:
    `digits` random digits, else a random password.
    """

    name: str
    label: str
    account: str = ""
    digits: int = 0

    def right_value(self, account: Account) -> str:
        """Return what the simulated user types; random unless it comes from the account."""
        if self.account:
            return str(getattr(account, self.account))
        return random_text(self.digits, string.digits) if self.digits else random_text(14)


PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>SIMULATED $name login</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; background: #f3f4f6; color: #1f2937; margin: 0;
       display: grid; place-items: center; min-height: 100vh }
main { background: #fff; padding: 2rem; border-radius: 12px; box-shadow: 0 2px 16px #0002;
       width: min(22rem, 90vw); box-sizing: border-box }
h1 { font-size: 1.25rem; margin: 0 }
p { margin: .25rem 0 1rem; color: #6b7280 }
.error { color: #b91c1c; font-weight: 600 }
label { display: block; margin: .75rem 0 .25rem }
input { width: 100%; box-sizing: border-box; padding: .55rem }
button { padding: .55rem 1rem; margin: 1.25rem .5rem 0 0; background: #fff; cursor: pointer }
input, button { font: inherit; border: 1px solid #d1d5db; border-radius: 6px }
button.main { background: #1d4ed8; border-color: #1d4ed8; color: #fff }
</style></head><body><main>
<h1>SIMULATED $name login</h1>
<p>No real account, no real money. The simulated customer's details are filled in.</p>
$error<form method="post">
$fields
<button class="main" type="submit">Log in</button>
<button type="submit" name="cancel" value="1" formnovalidate>Cancel</button>
</form></main></body></html>
"""
)
FIELD = Template('<label for="$name">$label</label><input id="$name" name="$name" value="$value" autocomplete="off">')


def login_page(name: str, fields: Iterable[LoginField], values: Mapping[str, str], error: str = "") -> Reply:
    """Show the form, which posts to its own URL; `values` are filled in for the person trying it out."""
    inputs = (
        FIELD.substitute(name=field.name, label=escape(field.label), value=escape(values[field.name]))
        for field in fields
    )
    warning = f'<p class="error" role="alert">{escape(error)}</p>\n' if error else ""
    page = PAGE.substitute(name=escape(name), error=warning, fields="\n".join(inputs))
    return Reply(200, page.encode(), HTML, {"Cache-Control": "no-store"})
