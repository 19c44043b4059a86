"""Write the WebSocket's description: manage.py asyncapi > docs/asyncapi.yaml"""

from typing import Any

import yaml
from django.core.management.base import BaseCommand

from portfolio.asyncapi import document


class Command(BaseCommand):
    help = "Print the AsyncAPI document of the WebSocket."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(written(), ending="")


class _Whole(yaml.SafeDumper):
    """Writes a schema that occurs twice out twice, without YAML's anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def written() -> str:
    text: str = yaml.dump(document(), Dumper=_Whole, sort_keys=False, allow_unicode=True, width=120)
    return text
