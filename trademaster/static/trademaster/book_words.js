// The words of a row of the book: its chips, and whose its price is. Pure.

import { counted, istTime, number, percent, ratioPercent, rupees, sentence, sign, toPaise } from "./format.js";

export const average = (text) => number(toPaise(text));
const PARTS = [
  ["t1_quantity", "T1", "Bought, not yet delivered"],
  ["pledged_quantity", "pledged", "Given to the broker as collateral"],
  ["today_quantity", "today", "Bought today"],
  ["mtf_quantity", "MTF", "Bought with the broker’s money"],
];
export const STALE = { text: "stale", tone: "warn", title: "From an earlier answer: the broker’s card says why there is none of now" };
/** Why an account tells nothing of now: in its own words, as it may not even have been asked. */
export const silence = (source) => sentence(source?.error_message || "It does not answer now");
const unmatched = (title) => ({ text: "unmatched", tone: "warn", title });
export const NO_ISIN = unmatched("It has no ISIN, so it is not added to the same share at another broker");
export const NO_CONTRACT = unmatched("Nothing but this broker’s own symbol says which contract it is, so it is not added to another broker’s");
const UNSETTLED = { text: "sale not settled", tone: "warn", title: "Shares sold today may still be counted here" };
export const staleChip = (stale) => (stale ? [STALE] : []);

/** Of several accounts that hold a share one may be silent: its part is from before, and the price is not. */
export function staleParts({ stale, broker_positions: lines }, accounts) {
  const silent = lines.filter((line) => line.stale);
  if (silent.length === lines.length) return staleChip(stale);
  const names = [...new Set(silent.map(({ connection_id }) => accounts[connection_id]))].join(", ");
  const title = `What ${names} holds of it is from an earlier answer; the price is not`;
  return silent.length ? [{ text: `${names} part stale`, tone: "warn", title }] : [];
}

export function partChips(quantities) {
  return PARTS.filter(([field]) => quantities[field] !== undefined && sign(quantities[field]) !== 0).map(
    ([field, word, title]) => ({ text: `${word} ${number(quantities[field])}`, title }),
  );
}

/** In a narrow cell: the first, and how many more there are; what opens beneath the row has all of them. */
export function briefly(labels) {
  if (labels.length < 2) return labels;
  const [first, ...rest] = labels;
  return [first, { text: `+${rest.length}`, title: rest.map(({ text, title }) => `${text}: ${title}`).join(" · ") }];
}

export function lineChips(line) {
  const unknown = line.funded_amount === null ? ": how much it lent is not known" : "";
  const product = line.product === "MTF" ? [{ text: "MTF", title: `Bought with the broker’s money${unknown}` }] : [];
  return [...product, ...staleChip(line.stale), ...(line.sale_unsettled ? [UNSETTLED] : [])];
}

/** What the broker lent for a line: an amount, so it stands where amounts are hidden, and in no tooltip. */
export function loanChips({ product, funded_amount: lent }) {
  return product === "MTF" && lent !== null ? [{ text: `lent ${rupees(lent)}`, title: "What the broker lent for these shares" }] : [];
}

/** In percent: a quantity in a tooltip would tell what privacy mode hides. */
export function averageGap({ known_quantity, total_quantity }) {
  return sign(known_quantity) === 0 ? "not known" : `known for ${percent(ratioPercent(known_quantity, total_quantity))} of the shares only`;
}

/** A stream may be of a broker at which we have no account. */
export function brokerName(slug, brokers) {
  return brokers[slug] ?? (slug ?? "").split("_").map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join(" ");
}

/** Under the price: whose it is, and whether that broker holds the share and answers now. */
export function priceSource({ price_source, price_state }, brokers) {
  const name = brokerName(price_source, brokers);
  if (price_state === "STREAMED") return `${name}, live`;
  if (price_state === "ASKED") return `${name}, asked`;
  if (price_state === "BORROWED") return `${name}, lent`;
  return price_state === "STALE" ? `${name}, last known` : name;
}

export function priceWords({ current_price, price_source, price_state, price_as_of }, brokers) {
  if (current_price === null) return "No broker gave a price.";
  const name = brokerName(price_source, brokers);
  if (price_state === "STREAMED") return `Price ${number(current_price)} streamed by ${name} at ${istTime(price_as_of)}.`;
  const told = `Price ${number(current_price)} from ${name}, ${istTime(price_as_of)}`;
  if (price_state === "ASKED") return `${told}: asked every few seconds, as nothing streams it.`;
  if (price_state === "BORROWED") return `${told}: a quote lent, as no broker that holds the share gives a price now.`;
  if (price_state === "STALE") return `${told}: its last good answer, as no connected broker gives a price now.`;
  return `${told}.`;
}

/** "35 securities", "12 of 35 shown", and what they were chosen by. */
export function shownWords(shown, all, chosenBy, [one, many] = ["security", "securities"]) {
  if (!chosenBy.length) return `${counted(all, one, many)} · amounts in ₹`;
  return `${shown} of ${all} shown · ${chosenBy.join(" · ")}`;
}
