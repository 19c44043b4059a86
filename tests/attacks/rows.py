"""Everything that is kept, as the database has it: to tell whether an attack changed any of it."""

from __future__ import annotations

from django.db import connection

# What merely asking writes: sessions, counts of tries, events of the log.
ASKING_WRITES = {"django_session", "usersessions_usersession", "sign_in_counts", "audit_events", "audit_checkpoints"}


def everything() -> dict[str, list[str]]:
    """Table → its rows as JSON, in order."""
    kept = {}
    with connection.cursor() as cursor:
        for table in sorted(set(connection.introspection.table_names(cursor)) - ASKING_WRITES):
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{table}" t ORDER BY 1')  # noqa: S608 - our own tables
            kept[table] = [row for (row,) in cursor.fetchall()]
    return kept
