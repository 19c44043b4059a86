"""Worked examples of risk: which function computes a kind of them. One line per kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# From the `input` of an example to what was computed, in the words of its `expected`.
Engine = Callable[[Mapping[str, Any]], Any]

KINDS: dict[str, Engine] = {}
