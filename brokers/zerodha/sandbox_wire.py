"""Kite's envelope and its time, as the simulated broker writes them."""

from __future__ import annotations

from datetime import datetime

from brokers.simulation.sessions import IST
from brokers.simulation.wire import Reply, json_reply


def success(data: object) -> Reply:
    return json_reply({"status": "success", "data": data})


def error(status: int, error_type: str, message: str) -> Reply:
    return json_reply({"status": "error", "message": message, "data": None, "error_type": error_type}, status)


def kite_time(moment: datetime) -> str:
    return f"{moment.astimezone(IST):%Y-%m-%d %H:%M:%S}"
