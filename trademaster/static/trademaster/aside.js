// Beside the book: what needs its owner, the day, how the value is spread, what the totals cover.

import { renderAllocation } from "./allocation.js";
import { renderDay } from "./day.js";
import { renderNotes } from "./notes.js";

// These follow the book once a second: nobody reads them faster.
const PACE_MS = 900;
let drawnAt = -Infinity;

/** `book` as in dashboard.js; `lag` and `live` as in numbers.js. Called at every change, and each second. */
export function renderAside(book, lag, live) {
  if (performance.now() - drawnAt < PACE_MS) return;
  drawnAt = performance.now();
  renderDay(book.series, book.portfolio);
  renderAllocation(book.portfolio);
  renderNotes(book.portfolio, lag, live);
}

function openCoverage() {
  document.getElementById("coverage").open = true;
}

const ifAddressed = () => location.hash === "#coverage" && openCoverage();
addEventListener("hashchange", ifAddressed);
// Where the address says so already, following the link again changes nothing in it.
document.addEventListener("click", ({ target }) => target.closest?.('a[href$="#coverage"]') && openCoverage());
ifAddressed();
