"""Run several programs as one: ordered start, prefixed output, restart after a crash, reverse stop.

Children live in sessions of their own, so that Ctrl-C reaches only us and the order of stopping is ours; and the kernel
stops them when we die, so that `kill -9` leaves nothing behind.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trademaster.local import child
from trademaster.local.failure import ServiceFailed, explain

Ready = Callable[[], Awaitable[bool]]

POLL = 0.05
LONGEST_LINE = 1024 * 1024

COLOURS = (36, 33, 32, 35, 34, 31)
OURS = "demo"


@dataclass(frozen=True)
class Patience:
    """How long we wait, in seconds, and how often we try."""

    ready: float = 30.0
    stop: float = 25.0  # longer than the web server waits for requests in flight
    first_restart: float = 0.5
    longest_restart: float = 15.0
    settled: float = 60.0  # a child that lived this long has its earlier crashes forgotten
    most_crashes: int = 5

    def restart_delay(self, crashes: int) -> float:
        """Before the restart that follows the n-th crash in a row."""
        return min(self.first_restart * 2.0 ** (crashes - 1), self.longest_restart)


@dataclass(frozen=True)
class Program:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready: Ready | None = None  # polled; without it the program is ready once started
    stop_signal: signal.Signals = signal.SIGTERM


class Console:
    """One line per event: the name in front, in colour where somebody looks."""

    def __init__(self) -> None:
        self._colourful = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._colour_of: dict[str, int] = {}

    def line(self, name: str, text: str) -> None:
        prefix = f"{name:<9}|"
        if self._colourful:
            colour = self._colour_of.setdefault(name, COLOURS[len(self._colour_of) % len(COLOURS)])
            prefix = f"\033[{colour}m{prefix}\033[0m"
        with contextlib.suppress(BrokenPipeError):  # the reader left; the programs still deserve a clean stop
            sys.stdout.write(f"{prefix} {text}\n")
            sys.stdout.flush()


class Supervisor:
    """Use inside one event loop, in the main thread: a child dies with the thread that bore it."""

    def __init__(self, console: Console | None = None, patience: Patience | None = None) -> None:
        self.console = console or Console()
        self.patience = patience or Patience()
        self._keepers: list[tuple[Program, asyncio.Task[None]]] = []
        self._companions: list[asyncio.Task[None]] = []
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._failure: str | None = None

    # -- the life of the whole ----------------------------------------------------------------------------------------

    def listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.finish, 0)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # under nohup the terminal may go
            loop.add_signal_handler(signal.SIGHUP, self.finish, 0)

    def finish(self, code: int) -> None:
        if not self._end.done():
            self._end.set_result(code)

    def fail(self, reason: str) -> None:
        self._failure = self._failure or reason
        self.finish(1)

    def is_finishing(self) -> bool:
        return self._end.done()

    async def wait(self) -> int:
        """Until a signal (0) or a failure (1)."""
        return await self._end

    def accompany(self, work: Coroutine[Any, Any, None]) -> None:
        """Let some work run beside the programs until the end."""
        self._companions.append(asyncio.create_task(work))

    async def unless_finished(self, work: Awaitable[None]) -> None:
        """Do some work, but let go of it when a signal or a failure ends the whole first."""
        task = asyncio.ensure_future(work)
        either: list[asyncio.Future[Any]] = [task, self._end]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    # -- the life of one program --------------------------------------------------------------------------------------

    async def start(self, *programs: Program) -> None:
        """Start these at once and return when all are ready, or the whole is finishing.

        Raises ServiceFailed when one ends or stays silent before it was ever ready.
        """
        waits = []
        for program in programs:
            process = await self._spawn(program)
            keeper = asyncio.create_task(self._keep(program, process), name=program.name)
            self._keepers.append((program, keeper))
            waits.append(self._becomes_ready(program, process))
        await asyncio.gather(*waits)

    async def run(self, program: Program) -> str:
        """Run one program to its end, relay what it says on stderr and return its stdout.

        Raises ServiceFailed unless it succeeds.
        """
        process = await self._spawn(program, stderr=asyncio.subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - we asked for pipes
        try:
            output, _ = await asyncio.gather(process.stdout.read(), self._relay(program, process.stderr))
            code = await process.wait()
        except asyncio.CancelledError:
            await self._stop(program, process)
            raise
        if code:
            raise ServiceFailed(f"{program.name} failed ({how_it_ended(code)}): see its lines above.")
        return output.decode()

    async def _spawn(self, program: Program, stderr: int = asyncio.subprocess.STDOUT) -> asyncio.subprocess.Process:
        try:
            process = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env=dict(program.environment) or None,
                limit=LONGEST_LINE,
                preexec_fn=child.birth(program.stop_signal),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ServiceFailed(f"{program.name} cannot start: {explain(str(error))}.") from error
        self._processes[program.name] = process
        return process

    async def _becomes_ready(self, program: Program, process: asyncio.subprocess.Process) -> None:
        if program.ready is None:
            return
        deadline = time.monotonic() + self.patience.ready
        while not self.is_finishing() and not await program.ready():
            if process.returncode is not None:
                raise ServiceFailed(f"{program.name} {how_it_ended(process.returncode)} before it was ready.")
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{program.name} was not ready within {self.patience.ready:.0f} seconds.")
            await asyncio.sleep(POLL)

    async def _keep(self, program: Program, process: asyncio.subprocess.Process) -> None:
        """Relay its output; after a crash start it again, later each time, until it crashes too often."""
        crashes = 0
        while True:
            born = time.monotonic()
            assert process.stdout is not None  # noqa: S101 - we asked for a pipe
            await self._relay(program, process.stdout)
            code = await process.wait()
            if self.is_finishing():
                return
            crashes = 1 if time.monotonic() - born > self.patience.settled else crashes + 1
            if crashes >= self.patience.most_crashes:
                self.fail(f"{program.name} crashed {crashes} times in a row; the last time it {how_it_ended(code)}.")
                return
            delay = self.patience.restart_delay(crashes)
            self.console.line(OURS, f"{program.name} {how_it_ended(code)}; starting it again in {delay:g} s")
            await asyncio.sleep(delay)
            if self.is_finishing():
                return
            try:
                process = await self._spawn(program)
            except ServiceFailed as failure:
                self.fail(str(failure))
                return

    async def _relay(self, program: Program, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than LONGEST_LINE: that piece is dropped, the stream goes on
                continue
            if not line:
                return
            self.console.line(program.name, line.decode(errors="replace").rstrip())

    async def stop(self) -> None:
        """Stop every program, the last started first, each given time to finish its work."""
        self.finish(1)
        for companion in self._companions:
            companion.cancel()
        while self._keepers:
            program, keeper = self._keepers.pop()
            await self._stop(program, self._processes[program.name])
            keeper.cancel()
            await asyncio.wait({keeper})
        if self._failure is not None:
            self.console.line(OURS, self._failure)  # last, where it will be read

    async def _stop(self, program: Program, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(program.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self.patience.stop)
            except TimeoutError:
                self.console.line(OURS, f"{program.name} did not stop within {self.patience.stop:.0f} s; killing it")
                process.kill()
        code = await process.wait()
        self.console.line(OURS, f"{program.name} {'stopped' if code == 0 else how_it_ended(code)}")


def how_it_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"


async def supervise(
    work: Callable[[Supervisor], Awaitable[None]], console: Console | None = None, patience: Patience | None = None
) -> int:
    """Do the work, which starts programs; wait for the end; stop them all. Returns the exit code: 0 after a signal."""
    supervisor = Supervisor(console, patience)
    supervisor.listen_for_signals()
    try:
        await supervisor.unless_finished(work(supervisor))
        return await supervisor.wait()
    except ServiceFailed as failure:
        supervisor.fail(str(failure))
        return 1
    finally:
        await supervisor.stop()
