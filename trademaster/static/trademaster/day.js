// The value of the day: words at once, and a chart over them once the page stands.

import { ApiError, call } from "./api.js";
import { put, say } from "./dom.js";
import { compare, counted, rupees } from "./format.js";
import { MINUTE, gapsOf, knownOf } from "./series.js";

const SILENCES_EACH_MS = 60_000;
const NO_PROFIT = "Purchases, sales and newly connected accounts move it, too.";

const hourMinute = new Intl.DateTimeFormat("en-IN", { timeZone: "Asia/Kolkata", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clock = (at) => hourMinute.format(new Date(at));
const byId = (id) => document.getElementById(id);
const panel = byId("day");
const state = { series: null, previous: null, silences: [], chart: null, isAsked: false, hovered: null, written: "" };

/** `series` as the socket tells it, or null. */
export function renderDay(series, portfolio) {
  Object.assign(state, { series, previous: previousOf(portfolio) });
  if (!state.isAsked) {
    state.isAsked = true;
    whenIdle(loadChart);
    askForSilences();
    setInterval(askForSilences, SILENCES_EACH_MS);
  }
  tell();
}

/** What the same shares were worth at the previous close; null: not wholly known. For a line, and so a plain number. */
function previousOf({ coverage, total_value: value, day_change: change }) {
  if (value === null || change === null || coverage.without_day_change || coverage.without_price) return null;
  return Number(value) - Number(change);
}

function tell() {
  const known = knownOf(state.series);
  const words = wordsOf(state.series, known, state.silences);
  if (words !== state.written) {
    state.written = words;
    byId("day-words").replaceChildren(...dressed(words));
  }
  readOut(known);
  state.chart?.draw(state);
}

/** The minute that is pointed at, else the last that is known. */
function readOut(known) {
  const shown = state.hovered ?? known.at(-1) ?? null;
  say(byId("day-at"), shown ? clock(shown.at) : "");
  put(byId("day-value"), shown ? shown.value : null, rupees, { unknown: "Nobody has known the value today." });
}

function wordsOf(series, known, silences) {
  if (!series || known.length === 0) return "How the value went today is not known: nobody follows it yet, or no market was open.";
  const [low, high] = [-1, 1].map((sense) => known.reduce((best, { value }) => (compare(value, best) === sense ? value : best), known[0].value));
  const gaps = gapsOf(series);
  const minutes = gaps.reduce((sum, [first, last]) => sum + (Date.parse(last.at) - Date.parse(first.at)) / MINUTE + 1, 0);
  const [first, last] = gaps.at(-1) ?? [];
  const when = first && `${clock(first.at)} to ${clock(Date.parse(last.at) + MINUTE)}`;
  const gap = minutes ? ` Not known for ${counted(minutes, "minute")}${gaps.length === 1 ? `, ${when}` : `, last ${when}`}.` : "";
  return `Between ${rupees(low)} and ${rupees(high)} since ${clock(known[0].at)}${isLate(series, known) ? ", when it was first looked at" : ""}.${gap}${silentWords(series, silences)} ${NO_PROFIT}`;
}

const isLate = ({ opens_at: opens }, known) => Date.parse(known[0].at) - Date.parse(opens) >= 5 * MINUTE;

function silentWords({ opens_at: opens }, silences) {
  const today = silences.filter(({ until }) => until === null || Date.parse(until) > Date.parse(opens));
  const named = today.slice(-2).map(({ display_name: name, begun_at: begun, until }) => {
    const from = clock(Math.max(Date.parse(begun), Date.parse(opens)));
    return until === null ? `${name} silent since ${from}.` : `${name} silent ${from} to ${clock(until)}.`;
  });
  const more = today.length > named.length ? [`Others before: ${today.length - named.length}.`] : [];
  return [...named, ...more].map((words) => ` ${words}`).join("");
}

/** Amounts within words can be hidden. */
function dressed(words) {
  return words.split(/(₹[\d,.]*\d)/).map((piece) => {
    if (!piece.startsWith("₹")) return piece;
    const node = Object.assign(document.createElement("span"), { textContent: piece });
    node.dataset.money = "";
    return node;
  });
}

async function askForSilences() {
  try {
    ({ silences: state.silences } = await call("GET", "portfolio/silences"));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // the marks of before stay; the cards say who is silent now
  }
  tell();
}

function whenIdle(work) {
  if (window.requestIdleCallback) requestIdleCallback(work, { timeout: 2000 });
  else setTimeout(work, 200);
}

/** Without the library the words stand alone. */
async function loadChart() {
  const { library } = panel.dataset;
  if (!library) return;
  const [{ DayChart }] = await Promise.all([import("./day_chart.js"), import(library)]);
  byId("day-chart").hidden = byId("day-by").hidden = false;
  panel.classList.add("drawn");
  state.chart = new DayChart(byId("day-chart"), window.LightweightCharts, {
    onHover(point) {
      state.hovered = point;
      readOut(knownOf(state.series)); // and nothing is drawn: drawing tells of the pointer again
    },
  });
  tell();
}
