"""A small client of the simulated brokers' control API. It needs nothing of what serves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import requests

from brokers.simulation.wire import JSON

TIMEOUT = 10.0


class Control:
    """A blocking client of the control API.

    Every method raises requests.HTTPError, with the API's reason, when it is refused.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        self.url = url
        self.timeout = timeout

    def overview(self) -> dict[str, Any]:
        return self._send("GET", "/")

    def set_fault(self, slug: str, kind: str, **parameters: object) -> dict[str, Any]:
        """Switch a fault on; `parameters` are the fields of `faults.Fault`."""
        return self._send("PUT", f"/brokers/{slug}/faults/{kind}", parameters)

    def clear_faults(self, slug: str, kind: str | None = None) -> dict[str, Any]:
        return self._send("DELETE", f"/brokers/{slug}/faults" + (f"/{kind}" if kind else ""))

    def set_fault_everywhere(self, kind: str, **parameters: object) -> dict[str, Any]:
        """The same at every broker; a `count` is shared: the first broker that meets it spends it for all."""
        return self._send("PUT", f"/faults/{kind}", parameters)

    def clear_faults_everywhere(self, kind: str | None = None) -> dict[str, Any]:
        return self._send("DELETE", "/faults" + (f"/{kind}" if kind else ""))

    def revoke(self, slug: str) -> int:
        """End every session at the broker; returns how many there were."""
        return int(self._send("POST", f"/brokers/{slug}/revoke")["revoked"])

    def postback(self, slug: str, address: str, **told: str) -> int:
        """Have the broker post news of an order to an address; `told` are the other fields of `Posted`.

        Returns the status it was answered with.
        """
        return int(self._send("POST", f"/brokers/{slug}/postback", {"address": address, **told})["status"])

    def post_updates(self, slug: str, address: str) -> None:
        """Have the broker post news of every order to an address from now on; an empty one ends it."""
        if address:
            self._send("PUT", f"/brokers/{slug}/postback", {"address": address})
        else:
            self._send("DELETE", f"/brokers/{slug}/postback")

    def place(self, slug: str, order: Mapping[str, object]) -> dict[str, Any]:
        """Place an order as the customer does in the broker's own app: the fields of a `NewOrder`.

        Returns the `DeskOrder`. No fault of requests hits it.
        """
        return self._send("POST", f"/brokers/{slug}/orders", order)

    def cancel(self, slug: str, order_id: str) -> dict[str, Any]:
        """Cancel one as the customer does in the broker's own app."""
        return self._send("DELETE", f"/brokers/{slug}/orders/{order_id}")

    def exchange(self) -> dict[str, Any]:
        """Return every order of every desk, and every trade."""
        return self._send("GET", "/exchange")

    def reset_exchange(self) -> None:
        """Forget every order, trade and GTT; books stay as they are."""
        self._send("POST", "/exchange/reset")

    def set_depth(self, lots: int) -> None:
        """Say how many lots the market maker quotes at its best price; 0 sends it away."""
        self._send("PUT", "/exchange", {"depth_lots": lots})

    def book(self, slug: str) -> dict[str, Any]:
        return self._send("GET", f"/brokers/{slug}/book")

    def set_book(self, slug: str, book: Mapping[str, object]) -> dict[str, Any]:
        """Replace a book; a document of `book()` with changed numbers is one too."""
        return self._send("PUT", f"/brokers/{slug}/book", book)

    def serve(self, slug: str, call: str, payload: object, *, status: int = 200, content_type: str = JSON) -> None:
        """Answer `call` (`GET /path`) with `payload` from now on: text and bytes verbatim, else as JSON."""
        if isinstance(payload, bytes):
            payload = payload.decode()
        body = payload if isinstance(payload, str) else json.dumps(payload)
        document = {"call": call, "body": body, "status": status, "content_type": content_type}
        self._send("PUT", f"/brokers/{slug}/serve", document)

    def serve_nothing(self, slug: str) -> None:
        """Go back to the broker's own replies."""
        self._send("DELETE", f"/brokers/{slug}/serve")

    def counters(self, slug: str) -> dict[str, int]:
        """Return how often each `METHOD /path` was asked."""
        calls: dict[str, int] = self.overview()["brokers"][slug]["calls"]
        return calls

    def reset_counters(self) -> None:
        self._send("POST", "/counters/reset")

    def market(self) -> dict[str, Any]:
        return self._send("GET", "/market")

    def freeze(self, frozen: bool = True) -> None:
        self._send("PUT", "/market", {"frozen": frozen})

    def set_price(
        self,
        exchange: str,
        last_price: Decimal | str,
        *,
        isin: str = "",
        symbol: str = "",
        close_price: Decimal | str | None = None,
    ) -> float:
        """Set one price; name the instrument by ISIN, or by symbol (derivatives).

        Returns when the streams were told, by the machine's monotonic clock in seconds.
        """
        change = {"exchange": exchange, "isin": isin, "symbol": symbol, "last_price": str(last_price)}
        if close_price is not None:
            change["close_price"] = str(close_price)
        return float(self._send("PUT", "/market", {"prices": [change]})["told_at"])

    def _send(self, method: str, path: str, document: Mapping[str, object] | None = None) -> dict[str, Any]:
        reply = requests.request(method, self.url + path, json=document, timeout=self.timeout)
        if reply.status_code == requests.codes.bad_request:
            raise requests.HTTPError(reply.json()["error"], response=reply)
        reply.raise_for_status()
        answered: dict[str, Any] = reply.json()
        return answered
