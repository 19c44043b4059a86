"""Strings that cannot be printed by accident, and errors that do not carry them along."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from hmac import compare_digest
from traceback import extract_tb
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Failure = TypeVar("Failure", bound=Exception)


class Secret:
    """Wraps a token, key, code, checksum or PIN: `repr`, `str`, formatting and pickling never show it.

    `reveal()` is for `auth.py`, `transport.py` and `vault.py` alone.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = str(value)  # plain, whatever kind of text it was

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


class Hidden(str):
    """A secret that must be a `str` for those who take it: a setting, or what a browser brought. `repr` hides it.

    So lists, mappings, tracebacks and dumps of settings hide it too. `str` and formatting show it, and what is made of
    it is an ordinary string: nearer to a broker, and wherever it is kept, it is a `Secret`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Hidden(…)" if self else "''"


def curtained(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """`call`, and what it raises comes out `bare`."""

    @wraps(call)
    def behind_it(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            raise bare(error) from None

    return behind_it


def bare(error: Failure) -> Failure:
    """The error without the frames it came through, and without what it was raised from.

    Their variables hold secrets in plain, and an error report that shows variables would show those. The places are
    told in a note of the error instead.
    """
    places = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in extract_tb(error.__traceback__)]
    if places := places[1:]:  # the first is where it was caught, and stays to be seen
        error.add_note("\n".join(["It was raised, most recent call last, at:", *places]))
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
