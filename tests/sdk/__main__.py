"""`make sdk`: every SDK, in an environment of its own, against simulated brokers on free ports.

Their pins conflict with each other and with ours, so none is ever a dependency of the product or of its tests.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from brokers.simulation.server import SimulatedBrokers

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[1] / ".venv-sdk"
# check → one `uv pip install` per line.
NEEDED = {
    "check_kiteconnect.py": ["kiteconnect==5.2.2"],
    "check_growwapi.py": ["growwapi==1.5.0"],
    # It imports the last two without asking for them.
    "check_smartapi.py": ["smartapi-python==1.5.5 logzero==1.7.0 websocket-client==1.9.2"],
    "check_upstox.py": ["upstox-python-sdk==2.30.0 requests==2.32.5"],
    "check_fyers.py": ["fyers-apiv3==3.2.0"],
    # It asks for Python 3.12 and for much that its clients do not use, which run on 3.11; and for a copy of the
    # python-socketio that the vendor's own SDK asks for.
    "check_xts.py": [
        "requests==2.32.5 aiohttp==3.11.11 python-socketio==4.6.0 python-engineio==3.13.0",
        "--no-deps --python-version 3.12 xts-api-client==0.1.26",
    ],
}


def main() -> int:
    """Run all checks, whatever one of them says; 1 if any failed."""
    with (
        tempfile.TemporaryDirectory(prefix="trademaster-sdk-") as scratch,
        SimulatedBrokers(state_dir=Path(scratch)),
    ):
        passed = [check(name, scratch) for name in NEEDED]
    return 0 if all(passed) else 1


def check(name: str, scratch: str) -> bool:
    python = ENVIRONMENTS / name.removesuffix(".py") / "bin" / "python"
    if not python.exists():
        uv("venv", "--python", sys.executable, str(python.parents[1]))
    for line in NEEDED[name]:
        uv("pip", "install", "--python", str(python), *line.split())
    # In the scratch folder, because some SDKs write logs where they stand; what they print matters in a failure only.
    command = [python, HERE / name, "brokers.json"]
    run = subprocess.run(command, cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    failed = run.returncode != 0
    sys.stdout.write(f"{run.stdout}\n{name} FAILED\n" if failed else f"{run.stdout.splitlines()[-1]}\n")
    sys.stdout.flush()
    return not failed


def uv(*arguments: str) -> None:
    subprocess.run([Path(sys.executable).with_name("uv"), *arguments, "--quiet", "--no-python-downloads"], check=True)


if __name__ == "__main__":
    sys.exit(main())
