// The big numbers, each with how much of the book it stands on.

import { chips, put, say, slots } from "./dom.js";
import { counted, duration, istTime, rupees, signedPercent, signedRupees } from "./format.js";

const GAIN = { tone: true };

/**
 * `lag` is how many seconds ago this portfolio arrived; `live`: it may still be called so. `prices` is how the feeds
 * behind it are, or null. Called each second too: what grows old by itself is said here.
 */
export function renderNumbers(portfolio, lag, live, prices) {
  const { coverage, funds } = portfolio;
  const unpriced = coverage.without_price && `${coverage.without_price} without price`;
  const unpaid = coverage.without_cost && `${coverage.without_cost} without cost`;
  const unmoved = coverage.without_day_change && `${coverage.without_day_change} unknown`;
  const unread = coverage.unreadable_rows && `${counted(coverage.unreadable_rows, "row")} unreadable`;
  const unfunded = funds.brokers.filter(({ available }) => available === null).map((line) => `${line.broker_name} unknown`);
  total("value", portfolio.total_value, rupees, { beside: `updated ${istTime(portfolio.last_updated)} IST` });
  total("day", portfolio.day_change, signedRupees, { tone: true, ratio: portfolio.day_change_percent });
  total("unrealised", portfolio.unrealized_pnl, signedRupees, { tone: true, ratio: portfolio.unrealized_pnl_percent });
  const used = funds.used === null ? "used: not known" : `${rupees(funds.used)} used`;
  total("funds", funds.available, rupees, { beside: used });
  const unfed = prices?.stale ? "prices stale" : prices?.asked ? "prices not streaming" : "";
  cover("value", portfolio, lag, live, [unpriced, unread], unfed);
  cover("day", portfolio, lag, live, [unmoved, unread], unfed);
  cover("unrealised", portfolio, lag, live, [unpaid, unpriced, unread], unfed);
  cover("funds", portfolio, lag, live, unfunded);
}

const totalSlots = (name) => slots(document.querySelector(`[data-total=${name}]`));

function total(name, value, format, { tone = false, ratio, beside } = {}) {
  const { amount, beside: under } = totalSlots(name);
  put(amount, value, format, { tone });
  if (ratio === undefined) say(under, beside);
  else put(under, ratio, signedPercent, GAIN);
}

/**
 * How much of the book one number stands on: "2/2 live", "1/2 live · Upstox 3 min old", "1 of 2 missing"; where no feed
 * tells its prices "2/2 answer · prices stale".
 */
function cover(name, { coverage, sources }, lag, live, gaps, unfed = "") {
  const labels = [];
  const names = (state) => sources.filter((source) => source.state === state);
  const missing = names("MISSING").map(({ broker_name }) => broker_name);
  const stale = names("STALE").map((source) => `${source.broker_name} ${duration(source.age_seconds + lag)} old`);
  if (missing.length) {
    labels.push({ text: `${missing.length} of ${coverage.sources} missing · ${missing.join(", ")}`, tone: "bad" });
  }
  if (stale.length || !missing.length) {
    const word = unfed && live ? "answer" : "live";
    const answered = `${coverage.sources_live}/${coverage.sources} ${word}${live ? "" : ` ${duration(lag)} ago`}`;
    const told = [answered, ...stale, unfed].filter(Boolean);
    labels.push({ text: told.join(" · "), tone: told.length > 1 || !live ? "warn" : "good" });
  }
  for (const text of gaps.filter(Boolean)) labels.push({ text, tone: "warn", title: "See “What the totals cover”" });
  chips(totalSlots(name).chips, labels);
}
