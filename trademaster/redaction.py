"""Keeps addresses that are secrets out of the log: whoever knows one can post to it."""

from __future__ import annotations

import logging
import re

SECRET = re.compile(r"(brokers/postback/)[^\s'\"<>]+")


class SecretAddresses(logging.Filter):
    """For a logger that writes paths. It lets every record pass, without what follows the known beginning of one.

    Of a request to such an address neither the request itself, which would show it, stays on the record, nor an error,
    which may quote it; its traceback stays, as text.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if not SECRET.search(f"{message} {getattr(getattr(record, 'request', None), 'path', '')}"):
            return True
        record.msg, record.args = without_secrets(message), ()
        if record.exc_info:
            record.exc_text = without_secrets(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        record.__dict__.pop("request", None)
        return True


def without_secrets(text: str) -> str:
    return SECRET.sub(r"\1…", text)
