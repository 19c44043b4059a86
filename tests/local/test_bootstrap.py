import re
import subprocess
import sys
from pathlib import Path

import pytest

from trademaster.local import bootstrap


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("error: failed to write\n  Caused by: No space left on device (os error 28)\n", "the disk is full"),
        (
            "error: Failed to fetch\n  Caused by: dns error: failed to lookup address",
            "the package index cannot be reached, or has no build for this Python (network? proxy?)",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "a downloaded package does not match its locked hash"),
        ("one\n\n  another reason \n", "another reason"),
        ("", "no message"),
    ],
)
def test_a_tools_output_becomes_one_line(output: str, line: str):
    assert bootstrap.explain(output) == line


def test_a_failing_step_is_one_error_and_no_traceback():
    with pytest.raises(bootstrap.BootstrapFailed, match=r"^Cannot do it: out of luck\.$"):
        bootstrap.run("do it", [sys.executable, "-c", "import sys; sys.exit('out of luck')"])


def test_it_needs_nothing_but_the_standard_library():
    """It runs before anything is installed: -S and -I hide every installed package and this repository."""
    script = Path(bootstrap.__file__)
    code = f"import runpy; runpy.run_path({str(script)!r}, run_name='looked_at')"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_an_old_python_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(bootstrap, "OLDEST_PYTHON", (99, 0))
    assert bootstrap.main() == 1
    assert capsys.readouterr().err.startswith("Python 3.11 or newer is needed; ")


@pytest.mark.parametrize("lock", [bootstrap.REQUIREMENTS, bootstrap.INSTALLER, bootstrap.REDIS, bootstrap.CHARTS])
def test_locks_hold_hashes_and_no_addresses(lock: Path):
    text = lock.read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text


def test_production_and_development_are_locked_to_the_same_versions():
    def versions(path: Path) -> set[str]:
        """Without their markers: where development asks for more, a package may be wanted in more places."""
        return {re.split(r" [;\\]", line)[0] for line in path.read_text().splitlines() if line[:1].isalnum()}

    assert versions(bootstrap.ROOT / "requirements.lock") <= versions(bootstrap.REQUIREMENTS)


def test_a_python_without_pip_and_ensurepip_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(bootstrap, "is_ready", lambda: False)
    monkeypatch.setattr(bootstrap, "has_module", lambda name: False)
    assert bootstrap.main() == 1
    assert "install python3-venv" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("reason", "installers"), [("the disk is full", ["uv"]), ("a bad day", ["uv", "pip"])])
def test_pip_takes_over_where_it_may_do_better(monkeypatch: pytest.MonkeyPatch, reason: str, installers: list[str]):
    tried: list[str] = []

    def run(what: str, command: bootstrap.Command, **environment: str) -> None:
        if what == "install the requirements":
            tried.append("uv" if environment else "pip")
            raise bootstrap.BootstrapFailed(f"Cannot install: {reason}.")

    monkeypatch.setattr(bootstrap, "run", run)
    with pytest.raises(bootstrap.BootstrapFailed, match=reason):
        bootstrap.install(["pip"])
    assert tried == installers
