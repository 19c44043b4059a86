// What is dealt in and not owned: derivatives, merged by contract; intraday positions and sales, each under its broker.

import { NO_CONTRACT, STALE, average, staleChip } from "./book_words.js";
import { chips, keyed, put, say, slots } from "./dom.js";
import { sum } from "./exact.js";
import { counted, day, number, sign, signedNumber } from "./format.js";

const GAIN = { tone: true };
const GAINS = ["day_pnl", "unrealized_pnl", "realized_pnl"];
const KINDS = {
  INTRADAY: "Intraday",
  SALE_OF_HOLDING: "Sold from holdings",
  CLOSED_DELIVERY: "Bought and sold today",
};
const byId = (id) => document.getElementById(id);
const written = new WeakMap();
const open = new Set(); // of contracts
const shown = { trades: null, derivatives: null };

export function renderPositions({ trading_positions: trades, derivatives, trading }) {
  fillGains(slots(byId("trades-sum")), trading);
  if (shown.trades === trades && shown.derivatives === derivatives) return;
  Object.assign(shown, { trades, derivatives });
  const others = trades.filter(({ kind }) => kind !== "DERIVATIVE");
  byId("no-positions").hidden = trades.length > 0;
  byId("trades-sum").hidden = trades.length === 0;
  byId("derivatives-part").hidden = derivatives.length === 0;
  byId("others-part").hidden = others.length === 0;
  renderDerivatives(derivatives);
  renderTrades(others);
  fillSum(byId("derivatives-sum"), derivatives, "contract");
  fillSum(byId("others-sum"), others, "position");
}

/** Whether `node` shows another object than before. */
function isNews(node, item) {
  if (written.get(node) === item) return false;
  written.set(node, item);
  return true;
}

function renderDerivatives(derivatives) {
  const keyOf = ({ exchange, symbol, exchange_token, matched, broker_positions: [first] }) =>
    [exchange, symbol, exchange_token, matched || first.connection_id].join(" ");
  keyed(byId("derivatives"), derivatives, keyOf, "derivative-template", (fields, contract, node) => {
    expandable(fields, node.dataset.key, contract);
    if (!isNews(node, contract)) return;
    node.firstElementChild.classList.toggle("stale", contract.stale);
    say(fields.symbol, contract.symbol);
    chips(fields.flags, [...(contract.matched ? [] : [NO_CONTRACT]), ...staleChip(contract.stale)]);
    say(fields.contract, contractWords(contract));
    say(fields.brokers, [...new Set(contract.broker_positions.map(({ broker_name }) => broker_name))].join(", "));
    put(fields.net_quantity, contract.net_quantity, signedNumber);
    chips(fields.sides, sides(contract));
    put(fields.current_price, contract.current_price, number);
    fillGains(fields, contract);
    if (open.has(node.dataset.key)) fillParts(fields, contract);
  });
}

function expandable(fields, key, contract) {
  fields.expander.onclick = () => {
    if (!open.delete(key)) open.add(key);
    fields.lines.hidden = !open.has(key);
    fields.expander.setAttribute("aria-expanded", String(open.has(key)));
    if (open.has(key)) fillParts(fields, contract);
  };
}

function fillParts(fields, contract) {
  keyed(fields.parts, contract.broker_positions, partKey, "part-template", (slots, part, line) => {
    closes(slots.close, line, { ...part, exchange: contract.exchange, token: contract.exchange_token }, sign(part.quantity) !== 0);
    fillPart(slots, part, line);
  });
}

/** The button that closes a position, at the broker that holds it; none where nothing is left to close. */
function closes(button, node, { connection_id, broker_name, exchange, symbol, token = null, product, quantity }, isOpen) {
  button.hidden = !isOpen;
  button.setAttribute("aria-label", `Square off ${symbol} at ${broker_name}`);
  const facts = `${symbol}\n${token}\n${quantity}`;
  if (node.dataset.facts === facts) return;
  node.dataset.facts = facts;
  // What a row's button deals in: the ticket reads it there.
  node.dataset.deal = JSON.stringify({ connection: connection_id, broker: broker_name, exchange, symbol, token, product, quantity });
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

const partKey = ({ connection_id, symbol, product }) => [connection_id, symbol, product].join(" ");

function fillPart(fields, part, node) {
  node.classList.toggle("stale", part.stale);
  say(fields.broker, part.broker_name);
  chips(fields.flags, [{ text: part.product }, ...staleChip(part.stale)]);
  say(fields.symbol, part.symbol);
  put(fields.quantity, part.quantity, signedNumber);
  put(fields.average, part.avg_price, average);
  fillGains(fields, part);
}

function renderTrades(trades) {
  const keyOf = (trade) => [trade.connection_id, trade.exchange, trade.symbol, trade.product, trade.kind].join(" ");
  keyed(byId("trades"), trades, keyOf, "trade-template", (fields, trade, node) => {
    if (!isNews(node, trade)) return;
    node.classList.toggle("stale", trade.stale);
    say(fields.symbol, trade.symbol);
    say(fields.kind, `${KINDS[trade.kind]} · ${trade.exchange} · ${trade.product}`);
    say(fields.broker, trade.broker_name);
    chips(fields.stale, trade.stale ? [STALE] : []);
    put(fields.quantity, trade.quantity, number);
    put(fields.average, trade.avg_price, average);
    put(fields.last, trade.current_price, number);
    closes(fields.close, node, trade, trade.kind === "INTRADAY" && sign(trade.quantity) !== 0);
    fillGains(fields, trade);
  });
}

function fillGains(fields, gains) {
  for (const name of GAINS) put(fields[name], gains[name], signedNumber, GAIN);
}

/** What the rows of one table come to; those that are not known are in no sum, and counted. */
function fillSum(row, items, word) {
  const fields = slots(row);
  const gaps = [];
  for (const name of GAINS) {
    const known = items.map((item) => item[name]).filter((value) => value !== null);
    put(fields[name], known.length ? sum(known) : null, signedNumber, GAIN);
    gaps.push(items.length - known.length);
  }
  const words = ["today", "unrealised", "realised"].map((name, place) => gaps[place] && `${gaps[place]} without ${name}`);
  say(fields.count, [counted(items.length, word), ...words.filter(Boolean)].join(" · "));
}
