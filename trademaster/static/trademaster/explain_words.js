// What every explanation of a number says in the same words: who told it, when, and what is not in it. Pure.

import { accountNames } from "./account_names.js";
import { silence } from "./book_words.js";
import { istTime } from "./format.js";

/** Said beneath every formula: its numbers stand there rounded, and what comes of them was not made of those. */
export const ROUNDED = "Worked out of unrounded numbers and rounded once, to paise, half up.";
export const NO_PRICE = "No broker gives a price, so it is not known, and in no total.";
export const CHARGES = "Charges and taxes.";

/** Whose line it is: its account, and under which product where that is not delivery. */
export function lineName({ connection_id, broker_name, product }, sources) {
  const name = accountNames(sources)[connection_id] ?? broker_name;
  return product === "CNC" ? name : `${name} ${product}`;
}

/** When that account told it, and why there is nothing newer. */
export function toldAt({ connection_id, stale }, sources) {
  const source = sources.find((each) => each.connection_id === connection_id);
  const at = source?.as_of ? istTime(source.as_of) : "time not known";
  return stale ? `${at}: an earlier answer. ${silence(source)}` : at;
}

/** What accounts may have of a row and do not show: those that are silent, and rows of others that could not be read. */
export function unseen(sources) {
  const names = accountNames(sources);
  const silent = sources.filter(({ state }) => state === "MISSING");
  const unread = sources.filter(({ unreadable_rows }) => unreadable_rows > 0);
  return [
    ...silent.map((source) => `What ${names[source.connection_id]} may hold of it: nothing earlier is kept. ${silence(source)}`),
    ...unread.map(({ connection_id }) => `Rows that ${names[connection_id]} told and that could not be read.`),
  ];
}
