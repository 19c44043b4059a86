"""A string that cannot be printed by accident."""

from __future__ import annotations

from hmac import compare_digest


class Secret:
    """Wraps a token, key, code, checksum or PIN: `repr`, `str`, formatting and pickling never show it.

    `reveal()` is for `auth.py`, `transport.py` and `vault.py` alone.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled: pass the id of the row that holds it")
