"""`manage.py export_audit`: the audit log for readers outside."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import audit, audit_export
from accounts.events import Event
from accounts.models import AuditEntry, User


class Command(BaseCommand):
    help = "Write the audit log to standard output, oldest event first. The export is itself an event."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")
        parser.add_argument("--user", metavar="USERNAME", help="only what concerns this person")

    def handle(self, *args: Any, format: str, user: str | None, **options: Any) -> None:
        rows = AuditEntry.objects.all()
        whom = None
        if user is not None:
            whom = User.objects.filter(username=user).first()
            if whom is None:
                raise CommandError("There is no such user.")
            rows = rows.filter(subject_id=whom.pk)
        audit.record(Event.AUDIT_EXPORTED, subject=whom, format=format)
        documents = audit_export.events(rows)
        lines = audit_export.json_lines(documents) if format == "jsonl" else audit_export.csv_lines(documents)
        for line in lines:
            self.stdout.write(line, ending="")
