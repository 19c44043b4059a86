"""Keeps addresses that are secrets out of the log: whoever knows one can post to it."""

from __future__ import annotations

import logging
import re

SECRET = re.compile(r"(/brokers/postback/)[^\s'\"<>]+")


class SecretAddresses(logging.Filter):
    """For a logger that writes paths. It lets every record pass, without what follows the known beginning of one.

    The request that hangs on a record is taken off where its path is such an address: it would show it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if SECRET.search(message):
            record.msg, record.args = SECRET.sub(r"\1…", message), ()
        if SECRET.search(getattr(getattr(record, "request", None), "path", "")):
            del record.__dict__["request"]
        return True
