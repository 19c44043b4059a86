"""The supervisor with tiny programs: order, restart, giving up, and what remains after its death."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trademaster.local.failure import ServiceFailed
from trademaster.local.supervisor import Console, Patience, Program, Supervisor, supervise

IMPATIENT = Patience(ready=5, stop=5, first_restart=0.01, longest_restart=0.02, most_crashes=3)

# Says its word when it stops; the pipe ends when it does.
PATIENT_CHILD = """
import signal, sys
def end(*_):
    print("bye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
signal.pause()
"""


class Recorder(Console):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str]] = []
        self.changed = asyncio.Event()

    def line(self, name: str, text: str) -> None:
        self.lines.append((name, text))
        self.changed.set()

    async def until(self, name: str, text: str, times: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.lines.count((name, text)) < times:
                self.changed.clear()
                await self.changed.wait()


def program(name: str, code: str = PATIENT_CHILD, **options: object) -> Program:
    return Program(name, [sys.executable, "-c", code], **options)  # type: ignore[arg-type]


async def test_programs_stop_in_reverse_order_and_a_signal_means_success():
    recorder = Recorder()

    async def work(supervisor: Supervisor) -> None:
        await supervisor.start(program("first"), program("second"))
        await supervisor.start(program("third"))
        for name in ("first", "second", "third"):
            await recorder.until(name, "up")
        os.kill(os.getpid(), signal.SIGINT)

    assert await supervise(work, recorder, IMPATIENT) == 0
    assert [line for line in recorder.lines if "stopped" in line[1]] == [
        ("demo", "third stopped"),
        ("demo", "second stopped"),
        ("demo", "first stopped"),
    ]
    assert [name for name, text in recorder.lines if text == "bye"] == ["third", "second", "first"]


async def test_a_crashed_program_is_started_again():
    recorder = Recorder()

    async def work(supervisor: Supervisor) -> None:
        await supervisor.start(program("worker"))
        await recorder.until("worker", "up")
        supervisor._processes["worker"].kill()
        await recorder.until("worker", "up", times=2)
        supervisor.finish(0)

    assert await supervise(work, recorder, IMPATIENT) == 0
    assert ("demo", "worker was ended by SIGKILL; starting it again in 0.01 s") in recorder.lines


async def test_a_program_that_keeps_crashing_ends_the_whole_with_one_clear_line():
    recorder = Recorder()

    async def work(supervisor: Supervisor) -> None:
        await supervisor.start(program("worker", "raise SystemExit(3)"))

    assert await supervise(work, recorder, IMPATIENT) == 1
    assert recorder.lines[-1] == ("demo", "worker crashed 3 times in a row; the last time it exited with 3.")


async def test_a_program_that_ends_before_it_is_ready_is_a_failure():
    async def never() -> bool:
        return False

    async def work(supervisor: Supervisor) -> None:
        await supervisor.start(program("web", "raise SystemExit(1)", ready=never))

    recorder = Recorder()
    patience = Patience(stop=5, first_restart=5)
    assert await supervise(work, recorder, patience) == 1
    assert recorder.lines[-1] == ("demo", "web exited with 1 before it was ready.")


async def test_later_programs_wait_until_earlier_ones_are_ready(tmp_path: Path):
    flag = tmp_path / "ready"
    recorder = Recorder()

    async def ready() -> bool:
        return flag.exists()

    async def work(supervisor: Supervisor) -> None:
        code = f"import pathlib; pathlib.Path({str(flag)!r}).touch()\n" + PATIENT_CHILD
        await supervisor.start(program("sandbox", code, ready=ready))
        assert flag.exists()
        supervisor.finish(0)

    assert await supervise(work, recorder, IMPATIENT) == 0


async def test_a_step_that_fails_is_named():
    async def work(supervisor: Supervisor) -> None:
        with pytest.raises(ServiceFailed, match=r"^migrate failed \(exited with 7\)"):
            await supervisor.run(program("migrate", "raise SystemExit(7)"))
        supervisor.finish(0)

    assert await supervise(work, Recorder(), IMPATIENT) == 0


async def test_a_very_long_line_does_not_end_the_relay():
    recorder = Recorder()

    async def work(supervisor: Supervisor) -> None:
        await supervisor.start(
            program("talker", "print('x' * 3_000_000); print('after', flush=True)\n" + PATIENT_CHILD)
        )
        await recorder.until("talker", "after")
        supervisor.finish(0)

    assert await supervise(work, recorder, IMPATIENT) == 0


async def test_what_a_step_prints_is_its_result_and_what_it_complains_about_is_shown():
    recorder = Recorder()

    async def work(supervisor: Supervisor) -> None:
        code = "import sys; print('result'); print('careful', file=sys.stderr)"
        assert await supervisor.run(program("step", code)) == "result\n"
        supervisor.finish(0)

    assert await supervise(work, recorder, IMPATIENT) == 0
    assert recorder.lines == [("step", "careful")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_nothing_is_left_when_the_supervisor_is_killed():
    code = f"""
import asyncio, sys
from trademaster.local.supervisor import Program, supervise
async def work(supervisor):
    await supervisor.start(Program("child", [sys.executable, "-c", {PATIENT_CHILD!r}]))
asyncio.run(supervise(work))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert "up" in supervisor.stdout.readline()
        children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
        assert len(children) == 1
        child = os.pidfd_open(int(children[0]))
        supervisor.kill()
        try:
            readable, _, _ = select.select([child], [], [], 5)  # a pidfd is readable once its process has ended
        finally:
            os.close(child)
    assert readable == [child]


@pytest.mark.parametrize(("crashes", "delay"), [(1, 0.5), (2, 1), (4, 4), (6, 15), (50, 15)])
def test_each_restart_waits_longer(crashes: int, delay: float):
    assert Patience().restart_delay(crashes) == delay
