"""What our OpenAPI document says beyond the framework's own: tokens, and the scope that each call asks of one."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from accounts.bearer import BearerLogin
from accounts.credentials import Scope, needed
from accounts.permissions import IsTrader
from trademaster.schema import Schema


class BearerLoginScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = BearerLogin
    name = ["access_token", "personal_token"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        access = "Of `POST /api/v1/auth/login` or `refresh`; five minutes."
        personal = "Made in the browser, under Your account, API access; begins with `tm_`."
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": access},
            {"type": "http", "scheme": "bearer", "description": personal},
        ]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        """Either of them: by itself the framework would ask for both."""
        return [{name: []} for name in self.name]


class ScopedSchema(Schema):
    """Says of every call which scope a token needs for it. (OpenAPI 3.0 knows scopes of OAuth alone.)"""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        scope = self._scope()
        if operation is not None and scope is not None:
            words = f"{operation.get('description', '')}\n\nScope of a token: `{scope}`."
            operation |= {"description": words.strip(), "x-scope": str(scope)}
        return operation

    def _scope(self) -> Scope | None:
        """None for what is open to everybody."""
        asks = any(isinstance(each, IsTrader) for each in self.view.get_permissions())
        return needed(self.view, self.method) if asks else None
