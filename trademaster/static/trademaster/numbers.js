// The four big numbers, each with what it is made of and how much of the book it stands on.

import { accountNames } from "./account_names.js";
import { keyed, put, say, slots } from "./dom.js";
import { briefRupees, counted, duration, istTime, rupees, sign, signedBriefRupees, signedPercent, signedRupees } from "./format.js";

const GAIN = { tone: true };
const totals = new Map();

/**
 * `lag` is how many seconds ago this portfolio arrived; `live`: it may still be called so. `prices` is how the feeds
 * behind it are, or null. Called each second too: what grows old by itself is said here.
 */
export function renderNumbers(portfolio, lag, live, prices) {
  const { coverage, funds, net_worth_parts: worth } = portfolio;
  const accounts = standing(portfolio, lag);
  const unfed = prices?.stale ? "prices stale" : prices?.asked ? "prices not streaming" : "";
  const covered = (feeds, gaps) => ({ chip: chip(coverage, accounts, lag, live, feeds, gaps.length), gaps: [...accounts.gaps, ...gaps] });
  const unread = coverage.unreadable_rows && `${counted(coverage.unreadable_rows, "row")} of an answer could not be read: what it told is not in it.`;
  const unpriced = coverage.without_price && `${counted(coverage.without_price, "holding")} without a price: not in it.`;

  total("worth", portfolio.net_worth, rupees, {
    pieces: [
      ["shares", worth.shares, briefRupees],
      ["cash", worth.cash, briefRupees],
      ...(worth.owed !== null && sign(worth.owed) !== 0 ? [["owed", minus(worth.owed), briefRupees]] : []),
    ],
    notes: worthNotes(worth),
    ...covered(unfed, [...worthGaps(portfolio), unpriced, unread].filter(Boolean)),
  });
  for (const name of ["day", "open"]) {
    total(name, portfolio[`${name}_pnl`], signedRupees, {
      ...profit(portfolio, name),
      ...covered(unfed, [unknownLines(portfolio[`${name}_pnl_parts`]), unread].filter(Boolean)),
    });
  }
  total("funds", funds.available, rupees, {
    pieces: [["used", funds.used, briefRupees], ["collateral", funds.collateral, briefRupees]],
    ...covered("", unfunded(portfolio)),
  });
}

const minus = (amount) => (sign(amount) > 0 ? `-${amount}` : amount.replace(/^-/, ""));

function profit(portfolio, name) {
  const { shares, positions } = portfolio[`${name}_pnl_parts`];
  const pieces = portfolio.trading_positions.length ? [["shares", shares, signedBriefRupees], ["positions", positions, signedBriefRupees]] : [];
  return { tone: true, ratio: portfolio[`${name}_pnl_percent`], pieces };
}

function total(name, amount, format, { tone = false, ratio, pieces, chip: { words, mood, told }, gaps: known, notes = [] }) {
  if (!totals.has(name)) totals.set(name, slots(document.querySelector(`[data-total=${name}]`)));
  const fields = totals.get(name);
  put(fields.amount, amount, format, { tone });
  if (ratio !== undefined) put(fields.ratio, ratio, signedPercent, GAIN);
  hide(fields.ratio, ratio === undefined);
  keyed(fields.pieces, pieces, ([label]) => label, "piece-template", (piece, [label, value, written]) => {
    say(piece.label, label);
    put(piece.amount, value, written);
  });
  say(fields.cover_words, words);
  if (fields.cover.dataset.mood !== mood) fields.cover.dataset.mood = mood;
  const more = known.length - told;
  say(fields.gap_count, more > 0 ? `+${more}` : "");
  hide(fields.gap_count, more <= 0);
  list(fields.gaps, [...(known.length ? known : ["Every account answered, and nothing is left out."]), ...notes]);
}

function hide(node, isHidden) {
  if (node.hidden !== isHidden) node.hidden = isHidden;
}

/** A sentence, or [sentence, "money"] where it tells an amount, which privacy mode hides. */
function list(node, sentences) {
  const signature = sentences.join("\n");
  if (node.dataset.lines === signature) return;
  node.dataset.lines = signature;
  node.replaceChildren(
    ...sentences.map((sentence) => {
      const item = document.createElement("li");
      if (Array.isArray(sentence)) item.dataset.money = "";
      item.textContent = Array.isArray(sentence) ? sentence[0] : sentence;
      return item;
    }),
  );
}

/** Who is not live, and what that means for a number. */
function standing({ sources }, lag) {
  const names = accountNames(sources);
  const called = (source) => ({ ...source, called: names[source.connection_id] });
  const missing = sources.filter(({ state }) => state === "MISSING").map(called);
  const stale = sources.filter(({ state }) => state === "STALE").map((source) => ({ ...called(source), age: duration(source.age_seconds + lag) }));
  const named = ({ display_name, broker_name }) => display_name || broker_name;
  return {
    missing,
    stale,
    gaps: [
      ...missing.map((source) => `${named(source)} is not in it: no answer of it is there to count.`),
      ...stale.map((source) => `${named(source)} is in it as it was ${source.age} ago.`),
    ],
  };
}

/**
 * How much of the book a number stands on, on one line; nothing is well where more is left out of it. "2/2 live", "1/2, Upstox 3 min", "1 of 2 missing: Upstox"; where no
 * feed tells its prices "2/2 answer, prices stale". `told` is how many of the accounts' gaps it names.
 */
function chip({ sources, sources_live }, { missing, stale }, lag, live, unfed, gaps) {
  const answered = `${sources_live}/${sources}`;
  const [one] = stale;
  if (missing.length) {
    const who = missing.length + stale.length === 1 ? `: ${missing[0].called}` : "";
    return { words: `${missing.length} of ${sources} missing${who}`, mood: "bad", told: missing.length };
  }
  if (stale.length === 1) return { words: `${answered}, ${one.called} ${one.age}`, mood: "warn", told: 1 };
  if (stale.length) return { words: `${answered}, ${stale.length} stale`, mood: "warn", told: stale.length };
  if (!live) return { words: `${answered}, ${duration(lag)} ago`, mood: "warn", told: 0 };
  if (unfed) return { words: `${answered} answer, ${unfed}`, mood: "warn", told: 0 };
  return { words: `${answered} live`, mood: gaps ? "warn" : "good", told: 0 };
}

function worthGaps({ net_worth_parts: { cash_unknown, loans_unknown, sold_today }, sources, funds }) {
  const names = accountNames(sources);
  const name = (id) => names[id] ?? "an account";
  return [
    ...cash_unknown.map((id) => `The cash at ${name(id)} is not known: not in it.`),
    ...oldFunds(funds, sources).filter(({ cash }) => cash !== null).map((line) => `The cash at ${name(line.connection_id)} is of ${istTime(line.as_of)}: it was not told since.`),
    loans_unknown && `${counted(loans_unknown, "MTF holding")} whose loan is not known: left out, as much may be owed.`,
    sold_today !== null && sign(sold_today) !== 0 && [`${rupees(sold_today)} of today’s sales is in it only where the cash shows it.`, "money"],
  ];
}

/** What is taken off the net worth, each with why. */
function worthNotes({ lent, bought_today }) {
  const has = (amount) => amount !== null && sign(amount) !== 0;
  return [
    ...(has(lent) ? [[`${rupees(lent)} was lent by brokers for MTF shares: taken off.`, "money"]] : []),
    ...(has(bought_today) ? [[`${rupees(bought_today)} was spent on shares today: taken off, as the cash may not show it yet.`, "money"]] : []),
  ];
}

function unknownLines({ lines_unknown }) {
  return lines_unknown && `${counted(lines_unknown, "line")} (a broker’s part of a share, or a position) not known: not in it.`;
}

/** An account may answer, and its funds not: those are of before its answer. */
function oldFunds({ brokers }, sources) {
  const answered = new Map(sources.map(({ connection_id, as_of }) => [connection_id, as_of]));
  return brokers.filter(({ connection_id, stale, as_of }) => stale && as_of !== null && as_of !== answered.get(connection_id));
}

function unfunded({ funds, sources }) {
  const names = accountNames(sources);
  const unknown = funds.brokers.filter(({ available }) => available === null);
  const old = oldFunds(funds, sources).filter(({ available }) => available !== null);
  return [
    ...unknown.map(({ connection_id }) => `The margin at ${names[connection_id]} is not known: not in it.`),
    ...old.map(({ connection_id, as_of }) => `The margin at ${names[connection_id]} is of ${istTime(as_of)}: it was not told since.`),
  ];
}
