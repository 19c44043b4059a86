// What is dealt in and not owned: derivatives, merged by contract; intraday positions and sales, each under its broker.

import { brokersOf } from "./book_brokers.js";
import { StandingOrder, arrowsLead, choices, showWish, sortPressed, tellOrder } from "./book_table.js";
import { Rows } from "./book_rows.js";
import { wishes } from "./book_wish.js";
import { NO_CONTRACT, STALE, average, shownWords, staleChip } from "./book_words.js";
import { announce, chips, put, say, slots } from "./dom.js";
import { sum } from "./exact.js";
import { counted, day, number, sign, signedNumber } from "./format.js";
import { closes, fillPositionDetails } from "./position_details.js";
import { KINDS, MOVES, arrangePositions, derivativeKey, tradeKey } from "./position_model.js";

const GAIN = { tone: true };
const GAINS = ["day_pnl", "unrealized_pnl", "realized_pnl"];
const asked = wishes("trademaster.positions", { text: "", broker: "", kind: "", move: "", sort: "", reversed: false }, ["text", "broker", "kind", "move"]);
const byId = (id) => document.getElementById(id);
const tools = byId("positions-tools");
const state = {
  portfolio: null, trades: null, brokers: null, names: null, accounts: null, shownFor: null, wish: asked.remembered(localStorage), shown: 0,
};

const derivatives = shownIn("derivatives", { template: "derivative-template", fill: fillDerivative, keyOf: derivativeKey, words: ["contract", "derivatives"] });
const others = shownIn("others", { template: "trade-template", fill: fillTrade, keyOf: tradeKey, words: ["position", "of these"] });

/** One of the two tables, its rows, and what is open beneath them: key → the number that was asked about, "" for all. */
function shownIn(id, { template, fill, keyOf, words }) {
  const table = byId(id);
  const open = new Map();
  const rows = new Rows(table.tHead, { row: { template, fill: (fields, row, node) => fill(fields, row, node, open) } });
  const shown = { table, rows, open, keyOf, words, order: new StandingOrder(table), all: null, seen: null };
  arrowsLead(table);
  table.addEventListener("click", ({ target }) => {
    const key = target.closest("tbody")?.dataset.key;
    const figure = target.closest("[data-explain]");
    if (figure) toggle(shown, key, figure.dataset.explain);
    else if (target.closest(".expander")) toggle(shown, key, open.get(key) ?? "");
    const sorting = sortPressed(target, state.wish);
    if (sorting) wishFor(sorting);
  });
  return shown;
}

/** Show these positions; without an argument the same ones again, in an order made anew. */
export function renderPositions(portfolio = state.portfolio) {
  const isNew = portfolio !== state.portfolio;
  state.portfolio = portfolio;
  if (!portfolio) return;
  Object.assign(state, brokersOf(portfolio.sources));
  const { trading_positions: trades, derivatives: contracts, trading } = portfolio;
  fillGains(slots(byId("trades-sum")), trading);
  byId("trades-sum").hidden = trades.length === 0;
  const isMoved = !isNew || state.trades !== trades || derivatives.all !== contracts || state.shownFor !== state.accounts;
  if (isMoved) {
    if (state.trades !== trades) others.all = trades.filter(({ kind }) => kind !== "DERIVATIVE");
    derivatives.all = contracts;
    Object.assign(state, { trades, shownFor: state.accounts });
    for (const shown of [derivatives, others]) show(shown, isNew);
    tellWhatIsShown();
  }
  for (const shown of [derivatives, others]) for (const key of shown.open.keys()) details(shown, key);
}

function show(shown, isNew) {
  const { all, keyOf, order, rows } = shown;
  const held = isNew ? order.held() : null;
  const seen = arrangePositions(all, state.wish, { keyOf, held });
  if (!held) order.isSorted(seen.map(keyOf));
  shown.seen = new Map(seen.map((row) => [keyOf(row), row]));
  rows.show([...shown.seen].map(([key, item]) => ({ key, kind: "row", item })), state.accounts);
  fillSum(shown, seen);
}

// --- one row ---------------------------------------------------------------------------------------------------------
function fillDerivative(fields, contract, node, open) {
  fillRow(fields, contract, node, open);
  chips(fields.flags, [...(contract.matched ? [] : [NO_CONTRACT]), ...staleChip(contract.stale)]);
  say(fields.contract, contractWords(contract));
  say(fields.brokers, [...new Set(contract.broker_positions.map(({ broker_name }) => broker_name))].join(", "));
  put(fields.net_quantity, contract.net_quantity, signedNumber);
  chips(fields.sides, sides(contract));
}

function fillTrade(fields, trade, node, open) {
  fillRow(fields, trade, node, open);
  say(fields.kind, `${KINDS[trade.kind]} · ${trade.exchange} · ${trade.product}`);
  say(fields.broker, state.accounts[trade.connection_id]);
  chips(fields.stale, trade.stale ? [STALE] : []);
  put(fields.quantity, trade.quantity, number);
  put(fields.average, trade.avg_price, average);
  closes(fields.close, node.firstElementChild, trade, state.accounts, trade.kind === "INTRADAY" && sign(trade.quantity) !== 0);
}

function fillRow(fields, row, node, open) {
  const isOpen = open.has(node.dataset.key);
  node.firstElementChild.classList.toggle("stale", row.stale);
  say(fields.symbol, row.symbol);
  put(fields.current_price, row.current_price, number);
  fillGains(fields, row);
  fields.lines.hidden = !isOpen;
  fields.expander.setAttribute("aria-expanded", String(isOpen));
}

function contractWords({ underlying, expiry, strike, option_type, exchange }) {
  const what = strike === null ? "future" : `${number(strike)} ${option_type}`;
  return underlying === null ? exchange : `${underlying} ${day(expiry)} ${what} · ${exchange}`;
}

/** Long here and short there: said where the net hides it. */
function sides({ long_quantity, short_quantity }) {
  if (sign(long_quantity) === 0 || sign(short_quantity) === 0) return [];
  return [{ text: `long ${number(long_quantity)}` }, { text: `short ${number(short_quantity)}` }];
}

function fillGains(fields, gains) {
  for (const name of GAINS) put(fields[name], gains[name], signedNumber, GAIN);
}

// --- what opens beneath ------------------------------------------------------------------------------------------------
function details({ rows, open, seen }, key) {
  const [row, node] = [seen.get(key), rows.nodeOf(key)];
  if (row && node && open.has(key)) fillPositionDetails(slots(node).details, row, open.get(key), state.portfolio.sources, state.accounts);
}

function toggle(shown, key, number) {
  const { open, rows } = shown;
  if (open.get(key) === number) open.delete(key);
  else open.set(key, number);
  rows.again(key);
  details(shown, key);
}

// --- what is wished for ------------------------------------------------------------------------------------------------
function wishFor(changed) {
  state.wish = { ...state.wish, ...changed };
  asked.remember(localStorage, state.wish);
  renderPositions();
  if (state.portfolio) announce(`${counted(state.shown, "position")} shown.`);
}

tools.addEventListener("submit", (event) => event.preventDefault());
tools.addEventListener("input", ({ target }) => target.name && wishFor({ [target.name]: target.value.trim() }));
tools.addEventListener("reset", () => wishFor(asked.usual));

function tellWhatIsShown() {
  const { wish, brokers, names } = state;
  const isNarrowed = asked.narrows(wish);
  const all = derivatives.all.length + others.all.length;
  state.shown = derivatives.seen.size + others.seen.size;
  choices(tools.elements.broker, Object.entries(brokers).map(([slug, { name }]) => [slug, name]), wish.broker);
  showWish(tools, wish);
  tools.hidden = all === 0 && !isNarrowed;
  const chosenBy = [wish.text && `“${wish.text}”`, wish.broker && (names[wish.broker] ?? wish.broker), KINDS[wish.kind], MOVES[wish.move]];
  say(byId("positions-count"), shownWords(state.shown, all, chosenBy.filter(Boolean), ["position", "positions"]));
  byId("positions-reset").hidden = asked.isUsual(wish);
  byId("no-positions").hidden = state.shown > 0;
  say(
    byId("no-positions"),
    all ? "No position is as the filter says. Nothing is lost: reset it to see all of them." : "No derivative, intraday position or sale of today at the brokers that answered.",
  );
  for (const { table, seen } of [derivatives, others]) {
    table.parentElement.hidden = seen.size === 0;
    tellOrder(table, wish);
  }
}

/** What the rows of one table come to; those that are not known are in no sum, and counted. */
function fillSum({ table, all, words: [one, these] }, seen) {
  const fields = slots(byId(`${table.id}-sum`));
  const gaps = [];
  for (const name of GAINS) {
    const known = seen.map((item) => item[name]).filter((value) => value !== null);
    put(fields[name], known.length ? sum(known) : null, signedNumber, GAIN);
    gaps.push(seen.length - known.length);
  }
  const missing = ["today", "unrealised", "realised"].map((name, place) => gaps[place] && `${gaps[place]} without ${name}`);
  const isNarrowed = seen.length < all.length;
  say(fields.name, isNarrowed ? `Shown: ${seen.length} of ${all.length} ${these}` : `All ${these}`);
  say(fields.count, [...(isNarrowed ? [] : [counted(all.length, one)]), ...missing.filter(Boolean)].join(" · "));
}
