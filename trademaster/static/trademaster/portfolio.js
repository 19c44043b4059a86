// The merged portfolio on the screen: totals, shares, trading positions, funds, and what the totals cover.

import { chips, keyed, put, say, slots } from "./dom.js";
import {
  counted, day, duration, istTime, number, percent, rupees, sign, signedNumber, signedPercent, signedRupees, toPaise,
} from "./format.js";

const GAIN = { tone: true };
const average = (text) => number(toPaise(text));
const KINDS = {
  INTRADAY: "Intraday",
  SALE_OF_HOLDING: "Sold from holdings",
  CLOSED_DELIVERY: "Bought and sold today",
};
const CLASSES = { EQUITY: "Shares", FUND: "Funds and ETFs", DEBT: "Debt", OTHER: "Other" };
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

/**
 * `lag` is how many seconds ago this portfolio arrived; `live`: it may still be called so. `prices` is how the feeds
 * behind it are, or null.
 */
export function renderPortfolio(portfolio, lag, live, prices = null) {
  renderAges(portfolio, lag, live, prices);
  renderHoldings(portfolio);
  renderTrading(portfolio);
  renderFunds(portfolio.funds);
  renderAllocation(portfolio.asset_allocation);
}

/** What grows old by itself: called each second too. */
export function renderAges(portfolio, lag, live, prices = null) {
  renderTotals(portfolio, lag, live, prices);
  renderNotes(portfolio, lag, live);
}

function renderTotals(portfolio, lag, live, prices) {
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

// --- trading positions, funds, allocation ----------------------------------------------------------------------------
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

function renderAllocation(classes) {
  byId("allocation-panel").hidden = classes.length === 0;
  keyed(byId("allocation"), classes, ({ asset_class }) => asset_class, "allocation-template", (fields, line) => {
    say(fields.kind, CLASSES[line.asset_class]);
    put(fields.weight, line.weight_percent, percent);
    fields.bar.value = line.weight_percent ?? 0;
  });
}

// --- what the totals cover -------------------------------------------------------------------------------------------
function renderNotes(portfolio, lag, live) {
  const list = byId("notes");
  const lines = notes(portfolio, lag, live);
  while (list.children.length > lines.length) list.lastElementChild.remove();
  lines.forEach(({ text, tone }, index) => {
    const item = list.children[index] ?? list.appendChild(document.createElement("li"));
    item.className = tone;
    say(item, text);
  });
}

function notes(portfolio, lag, live) {
  const { coverage, mtf_funded_amount, positions } = portfolio;
  const priced = (state) => positions.filter(({ price_state }) => price_state === state).length;
  const gaps = [
    [priced("BORROWED"), "at a price lent by another broker than those that hold it", "plain"],
    [priced("STALE"), "at the last price known: no connected broker gives one now", "warn"],
    [coverage.without_price, "without a price: not in the total value", "bad"],
    [coverage.without_cost, "whose purchase price is not fully known: in the value, but that part not in the unrealised P&L", "warn"],
    [coverage.without_day_change, "without today’s change: not in that number", "warn"],
    [coverage.sales_unsettled, "may still count what was sold today", "warn"],
  ];
  const lines = portfolio.sources.map((source) => sourceNote(source, lag, live));
  if (coverage.unmatched_instruments) {
    const those = counted(coverage.unmatched_instruments, "share or contract", "shares or contracts");
    const each = coverage.unmatched_instruments === 1 ? "it" : "each";
    lines.push({ text: `${those} not recognised: ${each} stands under its own broker, added to no other’s.`, tone: "warn" });
  }
  for (const [count, text, tone] of gaps) if (count) lines.push({ text: `${counted(count, "holding")} ${text}.`, tone });
  if (coverage.without_cost && coverage.value_with_known_cost !== null) {
    lines.push({ text: `Unrealised P&L stands on ${rupees(coverage.value_with_known_cost)} of the total value.`, tone: "plain" });
  }
  if (mtf_funded_amount === null) lines.push({ text: "What brokers lent for MTF shares is not known.", tone: "warn" });
  else if (sign(mtf_funded_amount) !== 0) {
    lines.push({ text: `Brokers lent ${rupees(mtf_funded_amount)} for MTF shares, which are counted in full: that loan is not taken off.`, tone: "plain" });
  }
  return lines;
}

function sourceNote(source, lag, live) {
  const name = source.display_name || source.broker_name;
  const unread = source.unreadable_rows
    ? ` ${counted(source.unreadable_rows, "row")} of its answer could not be read (${source.unreadable_fields.join(", ")}).`
    : "";
  if (source.state === "MISSING") return { text: `${name}: not in the totals.${unread}`, tone: "bad" };
  if (source.state === "LIVE") {
    const words = live ? "live, counted in full" : `counted in full, live ${duration(lag)} ago`;
    return { text: `${name}: ${words}.${unread}`, tone: unread || !live ? "warn" : "good" };
  }
  const age = duration(source.age_seconds + lag);
  return { text: `${name}: counted with its last good answer, ${age} old.${unread}`, tone: "warn" };
}
