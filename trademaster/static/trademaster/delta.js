// A difference applied to a portfolio: what `portfolio/deltas.py` does, on the strings of the wire. Pure.

import { paise } from "./exact.js";
import { compare, ratioPercent } from "./format.js";

const NO_SUMS = ["positions", "moved", "removed", "trading_positions", "trading_count", "derivatives", "derivative_count", "funds", "sources"];
const EXACTLY = 2 ** 50; // whole numbers below it divide and round down without an error

/** The portfolio after `delta`. Neither is changed; rows and lists that stay as they are stay the same objects. */
export function applyDelta(portfolio, delta) {
  const after = { ...portfolio, ...delta };
  for (const name of NO_SUMS) after[name] = portfolio[name];
  for (const name of ["moved", "removed", "trading_count", "derivative_count"]) delete after[name];
  after.positions = positions(portfolio.positions, delta);
  after.trading_positions = placed(portfolio.trading_positions, delta.trading_positions, delta.trading_count);
  after.derivatives = placed(portfolio.derivatives, delta.derivatives, delta.derivative_count);
  if (delta.funds !== null) after.funds = delta.funds;
  const sources = delta.sources ?? portfolio.sources;
  after.sources = sources.map((source) => aged(source, ageSeconds(source.as_of, delta.last_updated)));
  return after;
}

function positions(rows, { positions: changed, moved = [], removed, total_value }) {
  const news = new Map(changed.map((row) => [row.key, row]));
  const prices = new Map(moved.map((row) => [row.key, row]));
  const gone = new Set(removed);
  const found = [];
  for (const row of rows) {
    const fresh = news.get(row.key);
    const price = prices.get(row.key);
    if (fresh) news.delete(row.key);
    if (fresh || !gone.has(row.key)) found.push(fresh ?? (price ? priced(row, price) : row));
  }
  found.push(...news.values());
  const whole = paise(total_value);
  for (let place = 0; place < found.length; place += 1) found[place] = weighed(found[place], total_value, whole);
  return ordered(found);
}

/** A row of which the price alone moved: what follows from it. `parts` are those of its `broker_positions`, in order. */
function priced(row, { parts, ...figures }) {
  const broker_positions = row.broker_positions.map((part, place) => ({ ...part, ...parts[place] }));
  return { ...row, ...figures, broker_positions };
}

/** Weights are not sent for every row: they follow from its value and the total. */
function weighed(row, total, whole) {
  const weight = weightOf(row.current_value, total, whole);
  return weight === row.weight_percent ? row : { ...row, weight_percent: weight };
}

/** The same as `ratioPercent`, which works for all numbers, at a tenth of its price for those of a usual book. */
function weightOf(value, total, whole) {
  const part = paise(value);
  if (part === null || whole === null || part < 0 || whole <= 0) return ratioPercent(value, total);
  const doubled = part * 20_000 + whole;
  if (doubled > EXACTLY || whole > EXACTLY / 2) return ratioPercent(value, total);
  const hundredths = Math.floor(doubled / (whole * 2));
  return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, "0")}`;
}

/** By value, the most valuable first. Nothing is sorted that stands in order. */
function ordered(rows) {
  const values = rows.map(({ current_value }) => paise(current_value ?? "0.00"));
  if (values.includes(null)) return rows.sort(byValue);
  const decorated = rows.map((row, place) => ({ row, value: values[place] }));
  const inPlace = ({ row, value }, other) => other.value - value || byName(row, other.row);
  const isSorted = decorated.every((each, place) => place === 0 || inPlace(decorated[place - 1], each) <= 0);
  return isSorted ? rows : decorated.sort(inPlace).map(({ row }) => row);
}

const byValue = (left, right) => compare(right.current_value ?? "0", left.current_value ?? "0") || byName(left, right);

function byName(left, right) {
  return inOrder(left.symbol, right.symbol) || inOrder(left.isin ?? "", right.isin ?? "") || inOrder(left.key, right.key);
}

const inOrder = (left, right) => (left < right ? -1 : Number(left > right));

/** The rows with the changed ones in their places, cut off or grown to `count`. */
function placed(rows, changed, count) {
  if (changed.length === 0 && rows.length === count) return rows;
  const found = rows.slice(0, count);
  for (const { place, row } of changed) found[place] = row;
  return found;
}

const aged = (source, age) => (source.age_seconds === age ? source : { ...source, age_seconds: age });

function ageSeconds(asOf, now) {
  return asOf === null ? null : Math.max(0, Math.floor((Date.parse(now) - Date.parse(asOf)) / 1000));
}
