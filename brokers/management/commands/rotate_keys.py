"""`manage.py rotate_keys`: everything stored moves under the newest key."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokers import rotation, vault
from brokers.rotation import Step, Tally


class Command(BaseCommand):
    help = "Re-encrypt every stored secret under the first key of FIELD_ENCRYPTION_KEYS. May be killed and begun again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=_positive, default=500, help="rows per transaction (default: 500)")
        parser.add_argument("--check", action="store_true", help="only count what stands under which key")

    def handle(self, *args: Any, batch: int, check: bool, **options: Any) -> None:
        try:
            vault.prove_keys()
        except vault.DecryptionFailed as error:
            raise CommandError(str(error)) from None
        newest, *older = vault.key_ids()
        if check or not older:
            tally, _ = self._follow(rotation.survey(batch=batch))
            self._counts(tally)
        else:
            self._say(f"Re-encrypting under the key {newest}.")
            tally, rewritten = self._follow(rotation.rotate(batch=batch))
            self._say(f"{tally.seen:,} rows, of which {rewritten:,} were re-encrypted.")
        if tally.unreadable:
            raise CommandError(f"{len(tally.unreadable)} secrets cannot be read where they stand: named above.")
        if check:
            return
        if not older:
            self._say("There is one key, and every secret can be read with it: nothing to rotate to.")
        elif tally.old:
            raise CommandError(
                f"{tally.old:,} rows are under an older key again: a process still writes under it. Restart web, "
                "worker and beat with the new key first in FIELD_ENCRYPTION_KEYS, then begin again."
            )
        else:
            self._say(f"Done. May be taken out of FIELD_ENCRYPTION_KEYS: {', '.join(older)}.")

    def _follow(self, steps: Iterator[Step]) -> tuple[Tally, int]:
        """Tell of every batch; return the last walk's tally, and how many rows all walks have re-encrypted."""
        began, tally, rewritten, named = time.monotonic(), Tally(), 0, set()
        by_walk: dict[int, int] = {}
        for table, walk, tally in steps:
            by_walk[walk] = tally.rewritten
            rewritten = sum(by_walk.values())
            for place in tally.unreadable:
                if place not in named:
                    named.add(place)
                    self.stderr.write(str(place))
            self._say(
                f"{table}: {tally.seen:,} rows seen, {tally.rewritten:,} re-encrypted, "
                f"{tally.seen - tally.rewritten:,} skipped, {time.monotonic() - began:.1f} s"
                + (f" (walk {walk})" if walk > 1 else "")
            )
        return tally, rewritten

    def _counts(self, tally: Tally) -> None:
        for key_id in vault.key_ids():
            self._say(f"key {key_id}: {tally.under[key_id]:,} secrets")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()  # who watches it through a pipe sees how far it is


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
