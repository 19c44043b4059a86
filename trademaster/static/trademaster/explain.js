// Explain this number: the formula with the row's own numbers, where each is from, when it was told, what is left out. Pure.

import { accountNames } from "./account_names.js";
import { averageGap, priceWords } from "./book_words.js";
import { negated, sum } from "./exact.js";
import { CHARGES, NO_PRICE, lineName, toldAt, unseen } from "./explain_words.js";
import { number, percent, sign, signedNumber, signedPercent } from "./format.js";

export const NUMBERS = { value: "Value", day: "Today", unrealised: "Unrealised P&L", average: "Average", weight: "Weight" };

/**
 * `name`: a key of NUMBERS. `context`: the portfolio's `sources` and `total_value`, and `brokers`, slug → name.
 * Answers {title, formula, inputs: [{name, words}], left: [words]}; `formula` is null where the number is not known,
 * and the first of `left` then says why.
 */
export function explain(position, name, context) {
  return { title: NUMBERS[name], ...EXPLAINED[name](position, context) };
}

const EXPLAINED = { value, day, unrealised, average, weight };

function value(position, context) {
  const { current_price: price, current_value: worth, total_quantity: quantity } = position;
  return {
    formula: price === null ? null : `${number(quantity)} × ${number(price)} = ${number(worth)}`,
    inputs: [...quantities(position, context), thePrice(position, context)],
    left: [...(price === null ? [NO_PRICE] : []), ...gaps(position, context)],
  };
}

function day(position, context) {
  const { current_price: price, close_price: close, day_change: change, day_change_percent: ratio } = position;
  const { carried, bought } = ofToday(position);
  const isCarried = sign(carried) !== 0;
  const terms = [
    ...(isCarried ? [`${number(carried)} × (${number(price ?? "0")} − ${number(close ?? "0")})`] : []),
    ...bought.map((line) => `${number(line.today_quantity)} × (${number(price ?? "0")} − ${number(line.avg_price ?? "0")})`),
  ];
  const missing = [];
  if (price === null) missing.push(NO_PRICE);
  if (isCarried && close === null) missing.push("The previous close is not known.");
  if (bought.some(({ avg_price }) => avg_price === null)) missing.push("What was paid for the shares bought today is not known.");
  return {
    formula: change === null ? null : `${terms.join(" + ")} = ${signedNumber(change)}`,
    inputs: [
      ...(isCarried ? [{ name: "Held since before today", words: `${number(carried)}: from the previous close` }] : []),
      ...bought.map((line) => ({ name: `Bought today at ${accountNames(context.sources)[line.connection_id]}`, words: `${number(line.today_quantity)}: from the price paid` })),
      thePrice(position, context),
      { name: "Previous close", words: close === null ? "not known" : `${number(close)}, of the same exchange as the price` },
      ...(ratio === null ? [] : [{ name: "In percent", words: `${signedPercent(ratio)} of the value it started from` }]),
    ],
    left: [...missing, ...gaps(position, context)],
  };
}

/** What was held before today, and the lines with shares bought today: those count from the price paid. */
function ofToday({ total_quantity, broker_positions: lines }) {
  const bought = lines.filter(({ today_quantity }) => sign(today_quantity) !== 0);
  const carried = sum([total_quantity, ...bought.map(({ today_quantity }) => negated(today_quantity))]);
  return { carried, bought };
}

function unrealised(position, context) {
  const { current_value: worth, total_cost: cost, unrealized_pnl: gain, unrealized_pnl_percent: ratio } = position;
  const missing = [];
  if (worth === null) missing.push(NO_PRICE);
  if (cost === null) missing.push(`What was paid is ${averageGap(position)}.`);
  return {
    formula: gain === null ? null : `${number(worth)} − ${number(cost)} = ${signedNumber(gain)}`,
    inputs: [
      { name: "Value", words: worth === null ? "not known" : number(worth) },
      ...costs(position, context),
      ...(ratio === null ? [] : [{ name: "In percent", words: `${signedPercent(ratio)} of what was paid` }]),
    ],
    left: [...missing, CHARGES, ...gaps(position, context)],
  };
}

function average(position, context) {
  const { total_cost: cost, total_quantity: quantity, avg_price: paid } = position;
  return {
    formula: paid === null ? null : `${number(cost)} ÷ ${number(quantity)} = ${number(paid)}`,
    inputs: costs(position, context),
    left: [...(paid === null ? [`What was paid is ${averageGap(position)}.`] : []), CHARGES, ...gaps(position, context)],
  };
}

function weight(position, { total_value: total, ...context }) {
  const { current_value: worth, weight_percent: ratio } = position;
  const missing = worth === null ? [NO_PRICE] : ratio === null ? ["The total value is not known."] : [];
  return {
    formula: ratio === null ? null : `${number(worth)} ÷ ${number(total)} × 100 = ${percent(ratio)}`,
    inputs: [
      { name: "Value", words: worth === null ? "not known" : number(worth) },
      { name: "Total value", words: total === null ? "not known" : `${number(total)}: every share with a price, at every broker in the totals` },
    ],
    left: [...missing, "Money, margin, derivatives and intraday positions: they are no part of the total value.", ...gaps(position, context)],
  };
}

// --- inputs ----------------------------------------------------------------------------------------------------------
const thePrice = (position, { brokers }) => ({ name: "Price", words: priceWords(position, brokers).replace(/^Price /, "").replace(/\.$/, "") });

function quantities({ broker_positions: lines }, { sources }) {
  return lines.map((line) => ({ name: lineName(line, sources), words: `${number(line.quantity)}, told at ${toldAt(line, sources)}` }));
}

function costs({ broker_positions: lines }, { sources }) {
  return lines.map((line) => ({
    name: lineName(line, sources),
    words:
      line.total_cost === null
        ? `${number(line.quantity)} at a price not known · ${toldAt(line, sources)}`
        : `${number(line.quantity)} × ${number(line.avg_price)} = ${number(line.total_cost)} · ${toldAt(line, sources)}`,
  }));
}

// --- what is left out ------------------------------------------------------------------------------------------------
function gaps({ broker_positions: lines }, { sources }) {
  const names = accountNames(sources);
  const unsettled = lines.filter(({ sale_unsettled }) => sale_unsettled).map(({ connection_id }) => names[connection_id]);
  return [...unseen(sources), ...unsettled.map((name) => `A sale at ${name} today: those shares may still be counted.`)];
}
