"""`manage.py verify_audit`: is the audit log what was written?"""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import audit_check


class Command(BaseCommand):
    help = (
        "Verify the audit log's chain of hashes from its beginning; exit code 1 and the first break where there is one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--anchor",
            type=Path,
            metavar="FILE",
            help="hold the log against the heads noted in FILE, and if all is well note today's there",
        )
        parser.add_argument(
            "--head",
            type=_head,
            action="append",
            default=[],
            metavar="NUMBER:HASH",
            help="hold the log against a head that was noted elsewhere, such as in the process's log",
        )

    def handle(self, *args: Any, anchor: Path | None, head: list[tuple[int, str]], **options: Any) -> None:
        anchors = _noted(anchor) | dict(head)
        verdict = audit_check.verify(anchors)
        if verdict.broken:
            broken = verdict.broken
            raise CommandError(f"Event {broken.sequence}: {broken.words} ({broken.code})")
        beginning = f", the first {verdict.begins_after:,} pruned" if verdict.begins_after else ""
        self.stdout.write(f"{verdict.events:,} events{beginning}: whole. Head {verdict.sequence}:{verdict.hash}")
        if not anchors:
            self.stdout.write("Nothing outside was compared: without --anchor a missing end is not seen.")
        if anchor and verdict.sequence not in anchors:
            line = {"sequence": verdict.sequence, "hash": verdict.hash, "at": timezone.now().isoformat()}
            with anchor.open("a") as file:
                file.write(json.dumps(line) + "\n")


def _noted(anchor: Path | None) -> dict[int, str]:
    if anchor is None or not anchor.exists():
        return {}
    try:
        lines = [json.loads(line) for line in anchor.read_text().splitlines() if line.strip()]
        return {int(line["sequence"]): str(line["hash"]) for line in lines}
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{anchor} is no file of anchors: a line in it cannot be read.") from None


def _head(text: str) -> tuple[int, str]:
    number, _, found = text.partition(":")
    if not number.isdigit() or len(found) != 64:
        raise ArgumentTypeError("must be NUMBER:HASH, as verify_audit prints it")
    return int(number), found
