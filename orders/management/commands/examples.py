from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from orders.examples import ENGINES, BrokenExamples, Case, cases_of, run, seed_rates


class Command(BaseCommand):
    help = "Run an engine on a file of worked examples, and print what was expected and what came out."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("engine", choices=sorted(ENGINES))
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            examples = cases_of(options["file"])
            rates = seed_rates()
            cases = [run(ENGINES[options["engine"]], example, rates) for example in examples]
        except BrokenExamples as error:
            raise CommandError(str(error)) from None
        for case in cases:
            self._print(case)
        wrong = [case.id for case in cases if case.differs]
        if wrong:
            raise CommandError(f"{len(wrong)} of {len(cases)} examples differ: {', '.join(wrong)}.")
        self.stdout.write(f"{len(cases)} examples, none differs.")

    def _print(self, case: Case) -> None:
        self.stdout.write(f"{case.id} {'DIFFERS' if case.differs else 'ok'}  {case.title}")
        for name in dict.fromkeys((*case.expected, *case.got)):
            mark = "  <-- differs" if name in case.differs else ""
            self.stdout.write(f"    {name}: expected {case.expected.get(name)}, got {case.got.get(name)}{mark}")
