// A difference applied to a portfolio: what `portfolio/deltas.py` does, on the strings of the wire. Pure.

import { compare, ratioPercent } from "./format.js";

const MOVED = ["positions", "removed", "trading_positions", "trading_count", "derivatives", "derivative_count", "funds", "sources"];

/** The portfolio after `delta`. Neither is changed; rows that stay as they are stay the same objects. */
export function applyDelta(portfolio, delta) {
  const after = { ...portfolio, ...delta };
  for (const name of MOVED) after[name] = portfolio[name];
  for (const name of ["removed", "trading_count", "derivative_count"]) delete after[name];
  after.positions = positions(portfolio.positions, delta);
  after.trading_positions = placed(portfolio.trading_positions, delta.trading_positions, delta.trading_count);
  after.derivatives = placed(portfolio.derivatives, delta.derivatives, delta.derivative_count);
  if (delta.funds !== null) after.funds = delta.funds;
  const sources = delta.sources ?? portfolio.sources;
  after.sources = sources.map((source) => ({ ...source, age_seconds: ageSeconds(source.as_of, delta.last_updated) }));
  return after;
}

function positions(rows, { positions: changed, removed, total_value }) {
  const gone = new Set(removed);
  const found = new Map(rows.filter(({ key }) => !gone.has(key)).map((row) => [row.key, row]));
  for (const row of changed) found.set(row.key, row);
  return [...found.values()].map((row) => weighed(row, total_value)).sort(byValue);
}

/** Weights are not sent for every row: they follow from its value and the total. */
function weighed(row, total) {
  const weight = ratioPercent(row.current_value, total);
  return weight === row.weight_percent ? row : { ...row, weight_percent: weight };
}

function byValue(left, right) {
  return (
    compare(right.current_value ?? "0", left.current_value ?? "0") ||
    inOrder(left.symbol, right.symbol) ||
    inOrder(left.isin ?? "", right.isin ?? "") ||
    inOrder(left.key, right.key)
  );
}

const inOrder = (left, right) => (left < right ? -1 : Number(left > right));

/** The rows with the changed ones in their places, cut off or grown to `count`. */
function placed(rows, changed, count) {
  if (changed.length === 0 && rows.length === count) return rows;
  const found = rows.slice(0, count);
  for (const { place, row } of changed) found[place] = row;
  return found;
}

function ageSeconds(asOf, now) {
  return asOf === null ? null : Math.max(0, Math.floor((Date.parse(now) - Date.parse(asOf)) / 1000));
}
