"""Secrets stay out of what describes a running program: its settings, its error pages, its queue."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import typing
from io import StringIO
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter, get_default_exception_reporter_filter

from accounts.models import User
from brokers import logins
from brokers.secret import Hidden, bare, curtained
from tests.sweeping import Texts, everything_logged, variables_of
from trademaster.celery import app

ROOT = Path(__file__).parents[1]
WORD = "correct-horse-battery"
KEY = "xYz0-9aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789A="
SECRET_SETTINGS = {
    "SECRET_KEY": f"{WORD}-secret-key",
    "FIELD_ENCRYPTION_KEYS": KEY,
    "DATABASE_URL": f"postgres://user:{WORD}-database@127.0.0.1:1/name",
    "REDIS_URL": f"redis://:{WORD}-redis@127.0.0.1:1/0",
    "EMAIL_URL": f"smtp+tls://user:{WORD}-mail@127.0.0.1:1",
    "BROKER_ZERODHA_API_KEY": f"{WORD}-zerodha",
    "BROKER_ZERODHA_API_SECRET": f"{WORD}-zerodha",
}


def started(arguments: list[str], **changed: str) -> subprocess.CompletedProcess[str]:
    """A process that reads its settings from this environment alone. A check asks no database."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("BROKER_", "FIELD_", "SECRET_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**known, "PYTHONWARNINGS": "ignore", **changed},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_dump_of_the_settings_shows_none() -> None:
    dumped = started(["manage.py", "diffsettings", "--all"], **SECRET_SETTINGS)
    assert dumped.returncode == 0, dumped.stderr
    assert "FIELD_ENCRYPTION_KEY = [Hidden(…)]" in dumped.stdout
    assert WORD not in dumped.stdout
    assert KEY not in dumped.stdout


def test_so_does_the_debug_page() -> None:
    """With the settings of these tests, whose secrets are real ones."""
    shown = get_default_exception_reporter_filter().get_safe_settings()
    text = repr(shown) + str(shown)
    secrets = {settings.SECRET_KEY, *settings.FIELD_ENCRYPTION_KEY, settings.REDIS_URL, settings.CELERY_BROKER_URL}
    assert all(str(secret) not in text for secret in secrets)
    assert str(settings.ROOT_URLCONF) in text


def test_the_debug_page_shows_variables_by_their_kind(rf: RequestFactory) -> None:
    request = rf.post("/somewhere", {"pin": WORD})
    token = f"Bearer {WORD}"
    try:
        raise ValueError(len(token))
    except ValueError:
        page = ExceptionReporter(request, *sys.exc_info())
        shown = page.get_traceback_html() + page.get_traceback_text()
    assert "&lt;str&gt;" in shown
    assert "pin" in shown
    assert WORD not in shown.replace(Path(__file__).read_text(), "")


@pytest.mark.parametrize(
    "address",
    ["/brokers/callback/zerodha?request_token={}&status=success&state={}", "/brokers/login/groww?state={}"],
)
def test_a_callback_leaves_its_code_in_no_report(address: str, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> NoReturn:
        raise LookupError("nobody foresaw it")

    monkeypatch.setattr(logins, "complete", broken)
    monkeypatch.setattr(logins, "destination", broken)
    browser, texts = Client(raise_request_exception=False), Texts()
    browser.force_login(alice)
    with everything_logged(texts) as reporter:
        assert browser.get(address.format(WORD, WORD)).status_code == 500
    assert reporter.reports >= 2  # by the signal and by the log
    assert texts.places_of("nobody foresaw it")
    assert texts.places_of(WORD) == []


class TestTheQueue:
    def test_tasks_take_ids_alone(self) -> None:
        """An id, a broker's name: nothing that a secret would fit into without being seen here."""
        app.loader.import_default_modules()
        ours = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
        assert len(ours) >= 12
        takes = {
            f"{name} {parameter}": kind
            for name, task in ours.items()
            for parameter, kind in typing.get_type_hints(inspect.unwrap(task.run)).items()
            if parameter != "return"
        }
        assert set(takes) == {
            "brokers.deliver_alert delivery_id",
            "brokers.read_postbacks connection_id",
            "brokers.renew_session connection_id",
            "brokers.send_login_reminder user_id",
            "health.check_chunk schedule_ids",
            "health.check_connection connection_id",
            "market.load_master broker_type",
            "market.load_master_if_due broker_type",
            "orders.go_on_with_halt halt_id",
            "orders.move_order intent_id",
            "orders.reconcile_connection connection_id",
            "orders.send_alert event_id",
            "orders.send_feed_letter user_id",
            "orders.settle_gtts_of connection_id",
            "portfolio.look_at_limits user_id",
            "portfolio.note_equity_day user_id",
            "portfolio.refresh user_id",
            "portfolio.watch_limits_of user_id",
        }

    def test_results_are_not_kept(self) -> None:
        assert settings.CELERY_TASK_IGNORE_RESULT is True


class TestHidden:
    def test_it_is_a_text_that_repr_does_not_show(self) -> None:
        hidden = Hidden(WORD)
        assert hidden == WORD
        assert f"{hidden}" == WORD
        shown = [repr(hidden), repr([hidden]), repr({"key": hidden}), f"{hidden!r}", f"{[hidden]}"]
        assert not any(WORD in text for text in shown)
        assert repr(Hidden("")) == "''"

    def test_json_by_msgspec_refuses_it(self) -> None:
        with pytest.raises(TypeError):
            msgspec.json.encode({"key": Hidden(WORD)})
        assert json.loads(json.dumps(Hidden(WORD))) == WORD  # what goes to a broker


class TestCurtain:
    def test_what_is_raised_behind_it_shows_no_variable(self) -> None:
        def inner() -> None:
            token = f"Bearer {WORD}"
            try:
                raise LookupError(len(token))
            except LookupError as error:
                raise ValueError("words of ours") from error

        with pytest.raises(ValueError, match="words of ours") as caught:
            curtained(inner)()
        own = [each for each in variables_of(caught.value) if "test_what_is_raised" not in each.partition(" = ")[0]]
        assert not any(WORD in each for each in own)
        [note] = caught.value.__notes__
        assert "test_hygiene.py" in note
        assert note.endswith("in inner")

    def test_what_comes_back_is_the_same(self) -> None:
        assert curtained(len)("four") == 4

    def test_an_error_that_was_never_raised_can_be_bared(self) -> None:
        error = bare(ValueError("new"))
        assert error.__traceback__ is None
        assert not hasattr(error, "__notes__")


class TestKeysFromACommand:
    """In processes of their own: settings are read once, at the start."""

    CHECK = ("manage.py", "check", "--tag", "security")

    def told(self, command: str | None, **changed: str) -> subprocess.CompletedProcess[str]:
        given = {**SECRET_SETTINGS, "SECRET_KEY": "s" * 3 + KEY + "0123456789" * 2}
        given.pop("FIELD_ENCRYPTION_KEYS")
        if command is not None:
            given["FIELD_ENCRYPTION_KEYS_COMMAND"] = command
        return started([*self.CHECK], **given, **changed)

    def test_it_is_run_and_its_words_are_the_keys(self, tmp_path: Path) -> None:
        calls = tmp_path / "calls"
        program = tmp_path / "keeper"
        program.write_text(f"#!/bin/sh\necho called >> {calls}\necho {KEY},{KEY}\n")
        program.chmod(0o700)
        ended = self.told(f"{program} --name 'two words'")
        assert ended.returncode == 0, ended.stderr
        assert calls.read_text() == "called\n"

    def test_no_shell_reads_it(self, tmp_path: Path) -> None:
        touched = tmp_path / "touched"
        self.told(f"echo {KEY} > {touched}; touch {touched}")
        assert not touched.exists()

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("/nowhere/keeper", "cannot be run: No such file or directory"),
            ("/bin/sh -c 'echo {0}; echo {0} >&2; exit 3'", "ended with code 3"),
            ("/bin/true", "writes nothing"),
            ("/bin/echo {0}", "must be Fernet keys"),
            ("'", "is not a command"),
            ("", "is not a command"),
            ("/bin/sh -c 'printf \"\\\\377\"'", "is not a command, or writes no text"),
        ],
    )
    def test_a_failure_is_one_line_that_shows_nothing(self, command: str, words: str) -> None:
        ended = self.told(command.format(WORD))
        assert ended.returncode == 1
        [line] = ended.stderr.strip().splitlines()
        assert line.startswith("FIELD_ENCRYPTION_KEYS")
        assert words in line
        assert WORD not in ended.stdout + ended.stderr

    def test_it_has_only_so_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from django.core.exceptions import ImproperlyConfigured

        from trademaster import environment as source

        monkeypatch.setattr(source, "COMMAND_SECONDS", 0.1)
        monkeypatch.setenv("PLANTED_COMMAND", f"/bin/sh -c 'echo {WORD}; exec tail -f /dev/null'")
        with pytest.raises(ImproperlyConfigured, match=r"did not end within 0\.1 seconds") as caught:
            source.env_secret("PLANTED")
        assert not any(
            WORD in repr(error) for error in (caught.value, caught.value.__cause__, caught.value.__context__)
        )

    def test_a_file_and_a_command_do_not_go_together(self, tmp_path: Path) -> None:
        ended = self.told("/bin/true", FIELD_ENCRYPTION_KEYS_FILE=str(tmp_path / "keys"))
        assert ended.returncode == 1
        assert "are both set" in ended.stderr

    def test_it_counts_before_the_variable(self) -> None:
        assert self.told(f"/bin/echo {KEY}", FIELD_ENCRYPTION_KEYS="not a key").returncode == 0


def test_dumpdata_of_everything_runs(db: None) -> None:
    output = StringIO()
    call_command("dumpdata", stdout=output)
    assert json.loads(output.getvalue())
