// Explain a number of a derivative, an intraday position or a sale of today. Pure. What its broker told and this page is
// not told stands in a formula by its name.

import { accountNames } from "./account_names.js";
import { negated, product } from "./exact.js";
import { CHARGES, lineName, toldAt, unseen } from "./explain_words.js";
import { number, sign, signedNumber, toPaise } from "./format.js";

export const NUMBERS = { day: "Today", unrealised: "Unrealised P&L", realised: "Realised P&L", value: "Value", average: "Average" };
const NO_PRICE = "No broker and no stream gives a price, so it is not known.";
const UNTOLD = "told by its broker, and not to this page";
const NOTHING_OPEN = "Nothing is open: 0.00";
const IN_NO_VALUE = "The total value: no position is part of it.";

/**
 * `row`: a derivative or a trading position of the portfolio. `name`: a key of NUMBERS. `context`: its `sources`.
 * Answers {title, formula, inputs: [{name, words}], left: [words]}, as `explain` of holdings does.
 */
export function explainPosition(row, name, { sources }) {
  const told = EXPLAINED[name](row, { lines: row.broker_positions ?? [row], sources, isSale: row.kind === "SALE_OF_HOLDING" });
  return { title: NUMBERS[name], ...told, left: [...told.left, ...unseen(sources)] };
}

const EXPLAINED = { day, unrealised, realised, value, average };

// --- today, open and booked profit -----------------------------------------------------------------------------------
function day(row, { lines, sources, isSale }) {
  const { day_pnl: gain, current_price: price } = row;
  if (isSale) return sold(row, "their previous close", gain, "The price they were sold at, or their previous close, is not known.", sources);
  const open = lines.filter(isOpen);
  const isUnpriced = price === null && open.length > 0;
  const reason = isUnpriced ? NO_PRICE : "The previous close is not known, and part of it is carried from before today.";
  const terms = ["sold today − bought today", ...open.map((line) => `+ ${signed(line.quantity)} × ${amount(price)}`), "− carried × previous close"];
  const own = [
    { name: "Sold and bought today", words: UNTOLD },
    { name: "Carried from before today, and its previous close", words: UNTOLD },
  ];
  return booked(row, "day_pnl", { terms, own, reason, lines, sources, price: open.length ? [priceOf(row)] : [] });
}

function unrealised(row, { lines, sources, isSale }) {
  const { unrealized_pnl: gain, current_price: price } = row;
  const open = isSale ? [] : lines.filter(isOpen);
  if (open.length === 0) return { formula: gain === null ? null : NOTHING_OPEN, inputs: [], left: [BOOKED, CHARGES] };
  const terms = open.map(({ quantity, avg_price: paid }) => [quantity, `(${amount(price)} − ${amount(paid)})`]);
  return {
    formula: gain === null ? null : `${added(terms)} = ${signedNumber(gain)}`,
    inputs: [...open.map((line) => ({ name: lineName(line, sources), words: atAverage(line, sources) })), priceOf(row)],
    left: [...(price === null ? [NO_PRICE] : []), ...withoutAverage(open, sources), BOOKED, CHARGES],
  };
}

const BOOKED = "What is closed already: that is in the realised P&L.";

function realised(row, { lines, sources, isSale }) {
  const { realized_pnl: gain, current_price: price } = row;
  if (isSale) return sold(row, "what they had cost", gain, "The price they were sold at, or what they had cost, is not known.", sources);
  const open = lines.filter(isOpen);
  const isUnpriced = price === null && open.length > 0;
  const reason = isUnpriced ? NO_PRICE : withoutAverage(open, sources)[0] ?? "What was bought and sold is not known.";
  const terms = ["sold − bought", ...open.map((line) => `+ ${signed(line.quantity)} × ${amount(line.avg_price)}`)];
  const own = [
    { name: "Sold and bought", words: UNTOLD },
    ...open.map((line) => ({ name: "Still open, at its average", words: atAverage(line, sources) })),
  ];
  return booked(row, "realized_pnl", { terms, own, reason, lines, sources, price: [] });
}

/** Of one account the rule with its numbers; of several the sum of theirs. */
function booked(row, field, { terms, own, reason, lines, sources, price }) {
  const gain = row[field];
  const isMerged = lines.length > 1;
  const worked = () => (isMerged ? added(lines.map((line) => [line[field], ""])) : terms.join(" "));
  const parts = lines.map((line) => ({ name: lineName(line, sources), words: `${line[field] === null ? "not known" : signedNumber(line[field])} · ${toldAt(line, sources)}` }));
  return {
    formula: gain === null ? null : `${worked()} = ${signedNumber(gain)}`,
    inputs: [...(isMerged ? parts : [...own, told(lines, sources)]), ...price],
    left: [...(gain === null ? [reason] : []), CHARGES],
  };
}

/** Shares that have left the holdings: how many, at which price, less what `from` is. */
function sold(row, from, gain, reason, sources) {
  const { quantity, avg_price: price } = row;
  return {
    formula: gain === null ? null : `${number(negated(quantity))} × (${amount(price)} − ${from}) = ${signedNumber(gain)}`,
    inputs: [
      { name: "Sold out of the holdings", words: number(negated(quantity)) },
      { name: "Sold at, on average", words: amount(price) },
      { name: from.charAt(0).toUpperCase() + from.slice(1), words: "of the holding they were sold from; not told to this page" },
      told([row], sources),
    ],
    left: [...(gain === null ? [reason] : []), CHARGES],
  };
}

// --- value and average -----------------------------------------------------------------------------------------------
/** Units at the last price: of a future its notional, of an option its premium. */
function value(row, { lines, sources, isSale }) {
  const { current_price: price, strike = null, underlying = null } = row;
  const quantity = row.net_quantity ?? row.quantity;
  if (isSale || !lines.some(isOpen)) return { formula: NOTHING_OPEN, inputs: [told(lines, sources)], left: [IN_NO_VALUE] };
  const worth = price === null ? null : toPaise(product(quantity, price));
  return {
    formula: worth === null ? null : `${signed(quantity)} × ${number(price)} = ${signedNumber(worth)}`,
    inputs: [
      ...lines.map((line) => ({ name: lineName(line, sources), words: `${signedNumber(line.quantity)}, told at ${toldAt(line, sources)}` })),
      priceOf(row),
      ...(underlying === null ? [] : [{ name: "Notional", words: notional(worth, strike, underlying) }]),
    ],
    left: [...(price === null ? [NO_PRICE] : []), IN_NO_VALUE],
  };
}

function notional(worth, strike, underlying) {
  if (strike !== null) return `units × the price of ${underlying}, which is not told to this page; the page of risk has it`;
  return worth === null ? "not known" : `${number(worth.replace("-", ""))}: of a future, the same`;
}

/** As its broker tells it: no average is made of accounts, as each closes its own at its own. */
function average(row, { lines, sources, isSale }) {
  const known = lines.filter(({ avg_price: paid }) => paid !== null);
  const names = accountNames(sources);
  const perAccount = known.map((line) => `${number(line.avg_price)} at ${names[line.connection_id] ?? line.broker_name}`);
  const rule = isSale ? "what today’s sales brought ÷ how many" : "as told";
  const unknown = lines.filter(({ avg_price: paid }) => paid === null);
  return {
    formula: known.length === 0 ? null : lines.length > 1 ? perAccount.join(" · ") : `${rule} = ${number(known[0].avg_price)}`,
    inputs: lines.map((line) => ({ name: lineName(line, sources), words: atAverage(line, sources) })),
    left: [
      ...(known.length === 0 ? ["No broker tells it, or nothing is open."] : withoutAverage(unknown, sources)),
      ...(lines.length > 1 ? ["One average over accounts: each part is closed where it is held, at its own."] : []),
      CHARGES,
    ],
  };
}

// --- inputs ----------------------------------------------------------------------------------------------------------
const isOpen = ({ quantity }) => sign(quantity) !== 0;
const amount = (text) => (text === null ? "not known" : number(text));
const signed = (text) => (text.startsWith("-") ? `(${number(text)})` : number(text));
const priceOf = ({ current_price: price }) => ({ name: "Last price", words: price === null ? "not known" : `${number(price)}, as it is streamed, else as it was told` });
const told = (lines, sources) => ({ name: lineName(lines[0], sources), words: `told at ${toldAt(lines[0], sources)}` });

function atAverage(line, sources) {
  const { quantity, avg_price: paid } = line;
  return `${signedNumber(quantity)} at ${paid === null ? "a price not known" : number(paid)} · ${toldAt(line, sources)}`;
}

function withoutAverage(lines, sources) {
  return lines.filter(({ avg_price: paid }) => paid === null).map((line) => `The average price at ${lineName(line, sources)} is not known.`);
}

/** Signed terms, each [amount, factor or ""], one after the other. */
function added(terms) {
  const words = terms.map(([text, factor], place) => {
    const before = text.startsWith("-") ? "− " : place ? "+ " : "";
    return `${before}${number(text.replace("-", ""))}${factor && ` × ${factor}`}`;
  });
  return words.join(" ").replace(/^− /, "−");
}
