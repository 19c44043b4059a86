// The merged book as tables: shares, trading positions, funds.

import { chips, keyed, put, say, slots } from "./dom.js";
import { counted, day, istTime, number, percent, rupees, sign, signedNumber, signedPercent, toPaise } from "./format.js";

const GAIN = { tone: true };
const average = (text) => number(toPaise(text));
const KINDS = {
  INTRADAY: "Intraday",
  SALE_OF_HOLDING: "Sold from holdings",
  CLOSED_DELIVERY: "Bought and sold today",
};
const PARTS = [
  ["t1_quantity", "T1", "Bought, not yet delivered"],
  ["pledged_quantity", "pledged", "Given to the broker as collateral"],
  ["today_quantity", "today", "Bought today"],
  ["mtf_quantity", "MTF", "Bought with the broker’s money"],
];
const STALE = { text: "stale", tone: "warn", title: "From an earlier answer: this broker does not answer now" };
const unmatched = (title) => ({ text: "unmatched", tone: "warn", title });
const NO_ISIN = unmatched("It has no ISIN, so it is not added to the same share at another broker");
const NO_CONTRACT = unmatched("Nothing but this broker’s own symbol says which contract it is, so it is not added to another broker’s");
const byId = (id) => document.getElementById(id);
// What a row's buttons deal in: the ticket reads it there.
const dealsIn = (node, facts) => (node.dataset.deal = JSON.stringify(facts));
const staleChip = (stale) => (stale ? [STALE] : []);

export function renderBook(portfolio) {
  renderHoldings(portfolio);
  renderTrading(portfolio);
  renderFunds(portfolio.funds);
}

// --- shares ----------------------------------------------------------------------------------------------------------
function renderHoldings({ positions, sources }) {
  const brokers = Object.fromEntries(sources.map(({ broker_id, broker_name }) => [broker_id, broker_name]));
  say(byId("holdings-count"), `${counted(positions.length, "security", "securities")} · amounts in ₹`);
  byId("no-holdings").hidden = positions.length > 0;
  const keyOf = (position) => position.isin ?? `${position.exchange} ${position.symbol}`;
  keyed(byId("holdings"), positions, keyOf, "position-template", (fields, position, node) =>
    fillPosition(fields, position, node, brokers),
  );
}

function expandable({ expander, lines }) {
  expander.onclick ??= () => {
    lines.hidden = !lines.hidden;
    expander.setAttribute("aria-expanded", String(!lines.hidden));
  };
}

function fillPosition(fields, position, node, brokers) {
  const row = node.firstElementChild;
  row.dataset.isin = position.isin ?? "";
  row.classList.toggle("stale", position.broker_positions.every(({ stale }) => stale));
  expandable(fields);
  dealsIn(row, { symbol: position.symbol, isin: position.isin, exchange: position.exchange, held: position.total_quantity });
  for (const [button, word] of [[fields.buy, "Buy"], [fields.sell, "Sell"]]) button.setAttribute("aria-label", `${word} ${position.symbol}`);
  say(fields.symbol, position.symbol);
  say(fields.company, position.company_name ?? position.exchange);
  put(fields.quantity, position.total_quantity, number);
  chips(fields.parts, partChips(position));
  chips(fields.flags, [...(position.isin ? [] : [NO_ISIN]), ...staleParts(position)]);
  put(fields.average, position.avg_price, average, { unknown: averageGap(position) });
  say(fields.known, position.avg_price === null ? "cost not known" : "");
  put(fields.last, position.current_price, number);
  say(fields.source, priceSource(position, brokers));
  fields.source.title = position.current_price === null ? "" : priceWords(position, brokers);
  put(fields.day, position.day_change, signedNumber, GAIN);
  put(fields.day_percent, position.day_change_percent, signedPercent, GAIN);
  put(fields.unrealised, position.unrealized_pnl, signedNumber, GAIN);
  put(fields.unrealised_percent, position.unrealized_pnl_percent, signedPercent, GAIN);
  put(fields.value, position.current_value, number);
  put(fields.weight, position.weight_percent, percent);
  fields.bar.value = position.weight_percent ?? 0;
  fields.bar.hidden = position.weight_percent === null;
  keyed(fields.brokers, position.broker_positions, lineKey, "line-template", fillLine);
  say(fields.explained, explained(position, brokers));
}

/** Of several accounts that hold a share one may be silent: its part is from before, and the price is not. */
function staleParts({ stale, broker_positions: lines }) {
  const silent = lines.filter((line) => line.stale);
  if (silent.length === lines.length) return staleChip(stale);
  const names = [...new Set(silent.map(({ broker_name }) => broker_name))].join(", ");
  const title = `What ${names} holds of it is from an earlier answer; the price is not`;
  return silent.length ? [{ text: `${names} part stale`, tone: "warn", title }] : [];
}

/** Under the price: whose it is, and whether that broker holds the share and answers now. */
function priceSource({ price_source, price_state }, brokers) {
  const name = brokerName(price_source, brokers);
  if (price_state === "STREAMED") return `live from ${name}`;
  if (price_state === "ASKED") return `asked of ${name}`;
  if (price_state === "BORROWED") return `lent by ${name}`;
  return price_state === "STALE" ? `last known at ${name}` : name;
}

const lineKey = ({ connection_id, product }) => `${connection_id} ${product}`;

function fillLine(fields, line, node) {
  node.classList.toggle("stale", line.stale);
  const unsettled = { text: "sale not settled", tone: "warn", title: "Shares sold today may still be counted here" };
  say(fields.broker, line.broker_name);
  const product = line.product === "MTF" ? [{ text: "MTF", title: mtfLoan(line) }] : [];
  chips(fields.product, [...product, ...staleChip(line.stale), ...(line.sale_unsettled ? [unsettled] : [])]);
  put(fields.quantity, line.quantity, number);
  chips(fields.parts, partChips(line));
  put(fields.average, line.avg_price, average);
  put(fields.cost, line.total_cost, number);
  put(fields.value, line.current_value, number);
  put(fields.day, line.day_change, signedNumber, GAIN);
  put(fields.unrealised, line.unrealized_pnl, signedNumber, GAIN);
}

const mtfLoan = ({ funded_amount }) => `The broker lent ${funded_amount === null ? "an amount not known" : rupees(funded_amount)}`;

function partChips(quantities) {
  return PARTS.filter(([field]) => quantities[field] !== undefined && sign(quantities[field]) !== 0).map(
    ([field, word, title]) => ({ text: `${word} ${number(quantities[field])}`, title }),
  );
}

function averageGap({ known_quantity, total_quantity }) {
  return sign(known_quantity) === 0 ? "not known" : `known for ${number(known_quantity)} of ${number(total_quantity)} shares only`;
}

function explained(position, brokers) {
  const words = [position.isin ? `ISIN ${position.isin}.` : "No ISIN: merged by its listing."];
  if (position.current_price === null) words.push("No broker gave a price, so its value is not known and not in the totals.");
  else words.push(priceWords(position, brokers));
  words.push(position.close_price === null ? "Previous close not known." : `Previous close ${number(position.close_price)}.`);
  if (position.avg_price !== null) words.push(`Average ${number(position.avg_price)}.`);
  if (position.avg_price === null && sign(position.known_quantity) !== 0) {
    words.push(`Cost ${rupees(position.known_cost)} is known for ${number(position.known_quantity)} of ${number(position.total_quantity)} shares.`);
  }
  return words.join(" ");
}

/** A stream may be of a broker at which we have no account. */
function brokerName(slug, brokers) {
  return brokers[slug] ?? (slug ?? "").split("_").map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join(" ");
}

function priceWords({ current_price, price_source, price_state, price_as_of }, brokers) {
  const name = brokerName(price_source, brokers);
  if (price_state === "STREAMED") return `Price ${number(current_price)} streamed by ${name} at ${istTime(price_as_of)}.`;
  const told = `Price ${number(current_price)} from ${name}, ${istTime(price_as_of)}`;
  if (price_state === "ASKED") return `${told}: asked every few seconds, as nothing streams it.`;
  if (price_state === "BORROWED") return `${told}: a quote lent, as no broker that holds the share gives a price now.`;
  if (price_state === "STALE") return `${told}: its last good answer, as no connected broker gives a price now.`;
  return `${told}.`;
}

// --- trading positions, funds ----------------------------------------------------------------------------------------
function renderTrading({ trading_positions, derivatives, trading }) {
  byId("trades-panel").hidden = trading_positions.length === 0;
  fillGains(slots(byId("trades-sum")), trading);
  renderDerivatives(derivatives);
  renderTrades(trading_positions.filter(({ kind }) => kind !== "DERIVATIVE"));
}

function renderDerivatives(derivatives) {
  byId("derivatives-part").hidden = derivatives.length === 0;
  const keyOf = ({ exchange, symbol, exchange_token, matched, broker_positions: [first] }) =>
    [exchange, symbol, exchange_token, matched || first.connection_id].join(" ");
  keyed(byId("derivatives"), derivatives, keyOf, "derivative-template", (fields, contract, node) => {
    node.firstElementChild.classList.toggle("stale", contract.stale);
    expandable(fields);
    say(fields.symbol, contract.symbol);
    chips(fields.flags, [...(contract.matched ? [] : [NO_CONTRACT]), ...staleChip(contract.stale)]);
    say(fields.contract, contractWords(contract));
    say(fields.brokers, [...new Set(contract.broker_positions.map(({ broker_name }) => broker_name))].join(", "));
    put(fields.net_quantity, contract.net_quantity, signedNumber);
    chips(fields.sides, sides(contract));
    put(fields.current_price, contract.current_price, number);
    fillGains(fields, contract);
    keyed(fields.parts, contract.broker_positions, partKey, "part-template", (slots, part, line) => {
      closes(slots.close, line, { ...part, exchange: contract.exchange, token: contract.exchange_token }, sign(part.quantity) !== 0);
      fillPart(slots, part, line);
    });
  });
}

/** The button that closes a position, at the broker that holds it; none where nothing is left to close. */
function closes(button, node, { connection_id, broker_name, exchange, symbol, token = null, product, quantity }, isOpen) {
  button.hidden = !isOpen;
  button.setAttribute("aria-label", `Square off ${symbol} at ${broker_name}`);
  dealsIn(node, { connection: connection_id, broker: broker_name, exchange, symbol, token, product, quantity });
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
  byId("others-part").hidden = trades.length === 0;
  const keyOf = (trade) => [trade.connection_id, trade.exchange, trade.symbol, trade.product, trade.kind].join(" ");
  keyed(byId("trades"), trades, keyOf, "trade-template", (fields, trade, node) => {
    node.classList.toggle("stale", trade.stale);
    say(fields.symbol, trade.symbol);
    say(fields.kind, `${KINDS[trade.kind]} · ${trade.exchange} · ${trade.product}`);
    say(fields.broker, trade.broker_name);
    chips(fields.stale, staleChip(trade.stale));
    put(fields.quantity, trade.quantity, number);
    put(fields.average, trade.avg_price, average);
    put(fields.last, trade.current_price, number);
    closes(fields.close, node, trade, trade.kind === "INTRADAY" && sign(trade.quantity) !== 0);
    fillGains(fields, trade);
  });
}

function fillGains(fields, gains) {
  for (const name of ["day_pnl", "unrealized_pnl", "realized_pnl"]) put(fields[name], gains[name], signedNumber, GAIN);
}

function renderFunds(funds) {
  keyed(byId("funds"), funds.brokers, ({ connection_id }) => connection_id, "fund-template", (fields, line, node) => {
    node.classList.toggle("stale", line.stale);
    say(fields.broker, line.broker_name);
    chips(fields.stale, line.stale ? [{ ...STALE, title: `From ${istTime(line.as_of)}` }] : []);
    fillFunds(fields, line);
  });
  fillFunds(slots(byId("funds-sum")), funds);
}

function fillFunds(fields, line) {
  for (const name of ["available", "used", "collateral"]) put(fields[name], line[name], number);
}
