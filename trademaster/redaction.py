"""Keeps addresses that are secrets out of the log: whoever knows one can post to it."""

from __future__ import annotations

import logging
import re

SECRET = re.compile(r"(brokers/postback/)[^\s'\"<>]+")


class SecretAddresses(logging.Filter):
    """For loggers that write paths. It lets every record pass, without what follows the known beginning of one.

    Of a request to such an address neither the request itself, which would show it, stays on the record, nor an error,
    which may quote it; its traceback stays, as text.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        path = getattr(getattr(record, "request", None), "path", "")
        traceback = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        if SECRET.search(f"{message} {path} {traceback}"):
            record.msg, record.args = without_secrets(message), ()
            record.exc_text, record.exc_info = without_secrets(traceback), None
            record.__dict__.pop("request", None)
        return True


def without_secrets(text: str) -> str:
    return SECRET.sub(r"\1…", text)
