// Which rows of the holdings are shown, in which order and groups, and what they come to. Pure.

import { sum } from "./exact.js";
import { compare, sign } from "./format.js";
import { nearer } from "./in_place.js";

export const ROWS_A_PAGE = 200;
export const KINDS = { EQUITY: "Shares", FUND: "Funds and ETFs", DEBT: "Debt", OTHER: "Other" };
export const MOVES = { GAIN: "Gainers", LOSS: "Losers", UNPRICED: "Without price" };
/** What a column is sorted by. Words begin with A, numbers with the largest. */
export const COLUMNS = {
  name: "symbol", quantity: "total_quantity", average: "avg_price", last: "current_price", day_percent: "day_change_percent",
  day: "day_change", unrealised: "unrealized_pnl", value: "current_value", weight: "weight_percent",
};
export const NO_SECTOR = "Sector not known";
const haystacks = new WeakMap();

/**
 * `sectors`: ISIN → sector. `held`: keys in the order that stands on the screen, to be kept; null to sort anew.
 * `settled`: how many of those stand right, and `moves` more are to be put right; null where all are to stay.
 * Answers `rows` (all that match, in order), `entries` (of one page: rows, and the groups they are in), `page`, `pages`;
 * `order`, the keys to be held next, and its `settled`: null where nothing of the page is out of order that is known of.
 */
export function arrange(positions, wish, { sectors = {}, held = null, settled = null, moves = 1 } = {}) {
  const matching = narrowed(positions, wish, sectors);
  const pages = Math.max(1, Math.ceil(matching.length / ROWS_A_PAGE));
  const page = Math.min(Math.max(1, wish.page), pages);
  const told = inOrder(matching, wish, { held, settled, moves, until: wish.group ? matching.length : page * ROWS_A_PAGE });
  const groups = wish.group ? grouped(told.rows, wish.group, sectors) : [{ key: "", name: "", rows: told.rows }];
  const rows = wish.group ? groups.flatMap((group) => group.rows) : told.rows;
  const entries = entriesOf(groups, (page - 1) * ROWS_A_PAGE, wish.group !== "");
  return { rows, entries, page, pages, order: told.rows.map(({ key }) => key), settled: told.settled };
}

/** As wished for, as held, or between the two. Once all before `until` stand right, those behind need no more patience. */
function inOrder(rows, wish, { held, settled, moves, until }) {
  if (!held) return { rows: sorted(rows, wish), settled: null };
  const standing = inHeldOrder(rows, held);
  if (settled === null) return { rows: standing, settled: null };
  const wanted = sorted(rows, wish);
  const next = nearer(standing, wanted, settled, moves);
  return next.settled < Math.min(until, rows.length) ? next : { ...nearer(next.rows, wanted, next.settled, Infinity), settled: null };
}

function narrowed(positions, wish, sectors) {
  const tests = [
    wish.text && hasWords(wish.text, haystack),
    wish.broker && ((row) => row.broker_positions.some(({ broker_id }) => broker_id === wish.broker)),
    wish.kind && ((row) => row.asset_class === wish.kind),
    wish.sector && ((row) => sectorOf(row, sectors) === wish.sector),
    wish.move && ((row) => moveOf(row) === wish.move),
  ].filter(Boolean);
  return tests.length ? positions.filter((row) => tests.every((test) => test(row))) : positions;
}

/** Whether a row's `haystack` has every one of these words. */
export function hasWords(text, haystack) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return (row) => words.every((word) => haystack(row).includes(word));
}

/** The row's names in small letters, made once for each row object. */
function haystack(row) {
  if (!haystacks.has(row)) haystacks.set(row, [row.symbol, row.company_name, row.isin].join(" ").toLowerCase());
  return haystacks.get(row);
}

function moveOf({ current_price, day_change }) {
  if (current_price === null) return "UNPRICED";
  return { "-1": "LOSS", 1: "GAIN" }[day_change === null ? 0 : sign(day_change)] ?? "";
}

/** What is no share is of its class: a fund has no sector to be found. */
export const sectorOf = ({ isin, asset_class: kind }, sectors) => sectors[isin] ?? (kind === "EQUITY" ? NO_SECTOR : KINDS[kind]);

// --- order -----------------------------------------------------------------------------------------------------------
function sorted(rows, { sort, reversed }) {
  if (sort === "value" && !reversed) return rows; // so they come
  return sortedBy(rows, COLUMNS[sort] ?? COLUMNS.value, sort === "name" !== reversed, sort === "name");
}

/**
 * By one field of the rows, `rising` or falling; `isText`: by its letters, else by size. Stable, whichever way: equals
 * keep the order they came in. What is not known comes last, whichever way.
 */
export function sortedBy(rows, field, rising, isText) {
  const forwards = rising ? 1 : -1;
  const keys = rows.map((row) => ({ row, text: row[field], size: isText ? 0 : Number(row[field]) }));
  const exactly = isText ? (a, b) => (a < b ? -1 : Number(a > b)) : compare;
  // A double never turns two decimals round, but may take them for equal: those are compared exactly.
  const byWish = (a, b) => {
    if (a.text === null || b.text === null) return Number(a.text === null) - Number(b.text === null);
    return forwards * (a.size - b.size || exactly(a.text, b.text));
  };
  const isSorted = keys.every((each, place) => place === 0 || byWish(keys[place - 1], each) <= 0);
  return isSorted ? rows : keys.sort(byWish).map(({ row }) => row);
}

/** In the order of the keys that are `held`; newcomers come last. */
export function inHeldOrder(rows, held, keyOf = ({ key }) => key) {
  const found = new Map(rows.map((row) => [keyOf(row), row]));
  const kept = held.filter((key) => found.has(key)).map((key) => found.get(key));
  if (kept.length === rows.length) return kept;
  const known = new Set(held);
  return [...kept, ...rows.filter((row) => !known.has(keyOf(row)))];
}

// --- groups ----------------------------------------------------------------------------------------------------------
const GROUPS = {
  broker: ({ broker_positions: lines }) => {
    const names = [...new Set(lines.map(({ broker_name }) => broker_name))];
    return names.length > 1 ? "At several brokers" : `${names[0]} alone`;
  },
  kind: ({ asset_class }) => KINDS[asset_class],
  sector: sectorOf,
};

/** By what the rows of each come to, the most valuable first; their order within is that of the table. */
function grouped(rows, by, sectors) {
  const found = new Map();
  for (const row of rows) {
    const name = GROUPS[by](row, sectors);
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(row);
  }
  const groups = [...found].map(([name, members]) => ({ key: `group ${name}`, name, rows: members, sums: sumsOf(members) }));
  return groups.sort((a, b) => compare(b.sums.value.amount ?? "0", a.sums.value.amount ?? "0"));
}

/** A page of rows. A group that goes on from the page before is named again. */
function entriesOf(groups, first, isGrouped) {
  const entries = [];
  let place = 0;
  for (const group of groups) {
    const shown = group.rows.slice(Math.max(0, first - place), Math.max(0, first + ROWS_A_PAGE - place));
    place += group.rows.length;
    if (shown.length && isGrouped) entries.push({ key: group.key, kind: "group", item: group });
    for (const row of shown) entries.push({ key: row.key, kind: "row", item: row });
  }
  return entries;
}

// --- sums ------------------------------------------------------------------------------------------------------------
/** What rows come to: `{amount, known, of}` for each; an unknown one is in no sum, and counted. */
export function sumsOf(rows) {
  return {
    value: sumOf(rows, "current_value"),
    day: sumOf(rows, "day_change"),
    unrealised: sumOf(rows, "unrealized_pnl"),
  };
}

function sumOf(rows, field) {
  const known = rows.map((row) => row[field]).filter((value) => value !== null);
  return { amount: known.length ? sum(known) : null, known: known.length, of: rows.length };
}
