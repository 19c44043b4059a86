"""The trader's screen in Chromium: 500 positions, four updates a second, files compressed as in production.

First paint and first row are counted from the end of the server's answer, in browsers that have seen nothing yet. An
update costs the main thread what script, style and layout take from one message to the next, by the browser's own
counters of the processor's time: what else the machine does is not in it. The heap is read after a forced collection,
at two moments of a page that is updated all the time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import requests
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from bench.screen_front import ROWS, Book, Front
from bench.table import Aim, Figure, of_rounds
from trademaster.local.failure import ServiceFailed
from trademaster.local.house import House, _answers, free_port

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-precise-memory-info"]
WINDOW = {"width": 1440, "height": 900}
PATIENCE_MS = 60_000
ROUNDS = 7
UPDATES = 60
TICK_SECONDS = 0.25
SOME = 50  # of the rows
HEAP_AT = {"BENCH_WHOLE": (120, 600), "": (20, 100)}
COUNTED = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration")
HOTTEST = 5
# When the first row stands there, by the page's own clock.
NOTE_FIRST_ROW = """
const noted = new MutationObserver(() => {
  if (!document.querySelector("[data-testid=position-row]")) return;
  window.firstRowAt = performance.now();
  noted.disconnect();
});
noted.observe(document, { childList: true, subtree: true });
"""
OPENED = """() => {
  const { responseEnd } = performance.getEntriesByType("navigation")[0];
  const painted = performance.getEntriesByName("first-contentful-paint")[0];
  return { paint: painted.startTime - responseEnd, live: window.firstRowAt - responseEnd };
}"""


def measure(house: House) -> list[Figure]:
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        raise ServiceFailed("There is no Chromium on this machine: leave the group `screen` out.")
    url = production_web(house)
    cookies = house.cookies()
    connections = requests.get(f"{url}/api/v1/brokers/connections", cookies=cookies, timeout=30)
    connections.raise_for_status()
    two = [(row["id"], row["broker_type"], row["broker_name"]) for row in connections.json()[:2]]
    with Front(url, Book(two), connections.content) as front, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            return [*opening(browser, front, cookies), *running(browser, front, cookies)]
        finally:
            browser.close()


def production_web(house: House) -> str:
    """A second web process, which serves collected files; its address."""
    static = house.run_dir / "static"
    extra = {"DJANGO_SETTINGS_MODULE": "bench.screen_settings", "SCREEN_STATIC": str(static)}
    collect = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
    subprocess.run(collect, env=house.environment | extra, check=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["-m", "trademaster.local.web", "--port", str(port)]
    house.spawn("screen-web", arguments, lambda: _answers(f"{url}/health/ready"), extra)
    return url


def opened(browser: Browser, front: Front, cookies: dict[str, str]) -> tuple[Page, CDPSession, list[int]]:
    """A page with all its rows, in a browser that knows nothing but the session; and what it loaded, in bytes."""
    context = browser.new_context(viewport=WINDOW, locale="en-IN")  # type: ignore[arg-type]
    context.add_cookies([{"name": name, "value": value, "url": front.url} for name, value in cookies.items()])
    page = context.new_page()
    page.add_init_script(NOTE_FIRST_ROW)
    devtools = context.new_cdp_session(page)
    sizes: list[int] = []
    devtools.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    devtools.send("Network.enable")
    page.goto(front.url)
    page.wait_for_selector("[data-testid=position-row]", timeout=PATIENCE_MS)
    page.wait_for_load_state("networkidle")
    return page, devtools, sizes


def opening(browser: Browser, front: Front, cookies: dict[str, str]) -> list[Figure]:
    paint, live, weight, files = [], [], [], 0
    for _ in range(ROUNDS):
        page, _, sizes = opened(browser, front, cookies)
        times = page.evaluate(OPENED)
        paint.append(times["paint"])
        live.append(times["live"])
        weight.append(sum(sizes) / 1000)
        files = len(sizes)
        page.context.close()
    snapshot = f"a socket's snapshot of {ROWS} rows, {front.snapshot_bytes / 1000:,.0f} kB, comes on top"
    return [
        of_rounds("screen: first contentful paint after the answer", paint, "ms", aim=Aim(1000)),
        of_rounds("screen: live data after the answer", live, "ms", aim=Aim(1000), note=f"{ROWS} positions"),
        of_rounds("screen: weight of the page", weight, "kB", aim=Aim(300), note=f"{files} requests; {snapshot}"),
    ]


def running(browser: Browser, front: Front, cookies: dict[str, str]) -> list[Figure]:
    page, devtools, _ = opened(browser, front, cookies)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    began = time.monotonic()
    figures = [
        *updates(front, devtools, SOME),
        *updates(front, devtools, ROWS),
        hottest(front, devtools),
        heap(front, devtools, began),
    ]
    page.context.close()
    return figures


def counters(devtools: CDPSession) -> dict[str, float]:
    return {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}


def updates(front: Front, devtools: CDPSession, rows: int) -> list[Figure]:
    """What one update costs: the counters just before it, and just before the next."""
    costs, tasks, sent = [], [], 0
    parts: dict[str, list[float]] = {name: [] for name in COUNTED}
    due = time.monotonic()
    for _ in range(UPDATES):
        before = counters(devtools)
        sent = front.update(rows)
        due = max(due + TICK_SECONDS, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        after = counters(devtools)
        for name, spent in parts.items():
            spent.append(1000 * (after[name] - before[name]))
        costs.append(sum(spent[-1] for spent in parts.values()))
        tasks.append(1000 * (after["TaskDuration"] - before["TaskDuration"]))
    costs.sort()
    name = f"screen: main thread per update, {rows} of {ROWS} rows"
    told = ", ".join(f"{name.removesuffix('Duration')} {median(spent):.1f}" for name, spent in parts.items())
    whole = f"{told}; all tasks, painting too: {median(tasks):.1f} ms; the message: {sent / 1000:,.0f} kB"
    return [
        of_rounds(name, costs, "ms", aim=Aim(8), note=whole),
        Figure(name="  p95", value=costs[int(len(costs) * 0.95)], unit="ms", aim=Aim(8)),
    ]


def hottest(front: Front, devtools: CDPSession) -> Figure:
    """Where the script's time goes, by a sampling profile of updates of every row."""
    devtools.send("Profiler.enable")
    devtools.send("Profiler.setSamplingInterval", {"interval": 200})
    devtools.send("Profiler.start")
    for _ in range(UPDATES // 3):
        front.update(ROWS)
        time.sleep(TICK_SECONDS)
    profile: dict[str, Any] = devtools.send("Profiler.stop")["profile"]
    names = {node["id"]: node["callFrame"] for node in profile["nodes"]}
    spent: Counter[str] = Counter()
    for node, microseconds in zip(profile["samples"], profile["timeDeltas"], strict=True):
        frame = names[node]
        if frame["functionName"] not in ("(idle)", "(root)"):
            file = Path(frame["url"]).name
            spent[f"{frame['functionName'] or 'anonymous'} {file}:{frame['lineNumber'] + 1}"] += microseconds
    busy = sum(spent.values()) or 1
    told = "; ".join(f"{name} {100 * part / busy:.0f} %" for name, part in spent.most_common(HOTTEST))
    per_update = busy / 1000 / (UPDATES // 3)
    return Figure(name="  busy by the sampling profile", value=per_update, unit="ms", note=told)


def heap(front: Front, devtools: CDPSession, began: float) -> Figure:
    early, late = HEAP_AT["BENCH_WHOLE" if os.environ.get("BENCH_WHOLE") else ""]
    used = []
    for moment in (early, late):
        while time.monotonic() < began + moment:
            front.update(SOME)
            time.sleep(TICK_SECONDS)
        devtools.send("HeapProfiler.collectGarbage")
        used.append(devtools.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
    return Figure(
        name=f"screen: heap after {late} s, as many times that after {early} s",
        value=used[1] / used[0],
        unit="×",
        aim=Aim(1.1),
        note=f"{used[0]:.1f} MB, then {used[1]:.1f} MB; nodes {counters(devtools)['Nodes']:,.0f}",
    )
