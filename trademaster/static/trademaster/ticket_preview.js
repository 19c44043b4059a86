// What a preview says, as it stands in the ticket: where, why, what it costs, what stops it and what to do. Built as nodes.

import { figures } from "./figures.js";
import { counted, number, rupees } from "./format.js";

const VERDICTS = { PASS: ["passed", "good"], WARN: ["warning", "warn"], CONFIRM: ["asks you", "warn"], DENY: ["stops it", "bad"] };

// The names of `components`; orders/words.py has the same for the page of an order.
const COMPONENTS = {
  brokerage: "brokerage", stt: "securities transaction tax", ctt: "commodities transaction tax", exchange_txn: "exchange’s fee",
  ipft: "investor protection fund", sebi_fee: "SEBI’s fee", stamp_duty: "stamp duty", clearing: "clearing", dp: "depository’s charge", gst: "GST",
};
const named = (slug) => slug.split("_").map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join(" ");

export function el(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/** A reason of the API: what happened, and what to do. */
export function reason({ words, remedy, code }, tone) {
  const node = el("p", `notice ${tone}`, el("strong", "", ...figures(words)), ...figures(remedy ? ` ${remedy}` : ""));
  node.dataset.code = code ?? "";
  return node;
}

/** What privacy mode hides. */
function money(tag, words) {
  const node = el(tag, "", words);
  node.dataset.money = "";
  return node;
}

const fact = (name, value) => el("div", "", el("dt", "", name), money("dd", value));
const more = (title, ...children) => el("details", "", el("summary", "", title), ...children);

/** `wanted`: the body that was previewed; `isContract`: its value is what it deals over, and not what is paid. */
export function previewed(decision, wanted, isContract) {
  if (decision.refusals.length) {
    const heading = el("p", "", el("strong", "", "It would be refused, and nothing sent."));
    return [heading, ...decision.refusals.map((each) => reason(each, "bad")), ...leftOut(decision), ...checks(decision)];
  }
  return [
    el("p", "why", ...figures(decision.why)),
    ...(decision.needs_approval ? [reason(decision.needs_approval, "warn")] : []),
    ...decision.warnings.map((each) => reason(each, "warn")),
    amounts(decision, wanted, isContract),
    ...charges(decision),
    ...leftOut(decision),
    ...checks(decision),
    ...aged(decision),
  ];
}

function amounts({ value, total_charges: charged, next_best: best }, { side }, isContract) {
  const worth = isContract ? "Worth at most" : side === "BUY" ? "You pay at most" : "Worth about";
  return el(
    "dl", "facts",
    fact(worth, value === null ? "not known" : rupees(value)),
    fact("Charges, estimated", charged === null ? "not known" : rupees(charged)),
    best && fact("Next best", best.difference === null ? best.words : `${best.words} ${rupees(best.difference)} worse`),
  );
}

function charges({ costs }) {
  const parts = costs.map(({ broker_type, components, total }) => {
    const found = Object.keys(COMPONENTS).filter((name) => name in components);
    const lines = found.flatMap((name, place) => [`${place ? ", " : ""}${COMPONENTS[name]} `, money("span", rupees(components[name]))]);
    return el("li", "", `${named(broker_type)}: `, money("span", rupees(total)), " (", ...lines, ")");
  });
  return parts.length ? [more("Charges by component", el("ul", "", ...parts))] : [];
}

/** Whose it is, once: most sentences begin with the account already, and some have it elsewhere. */
function nameOnce(name, words) {
  if (words.includes(name) && !words.startsWith(name)) return figures(words);
  return [el("strong", "", name), ...figures(words.startsWith(name) ? words.slice(name.length) : `: ${words}`)];
}

function leftOut({ excluded }) {
  if (!excluded.length) return [];
  const lines = excluded.map(({ name, words, remedy }) => el("li", "", ...nameOnce(name, words), ...figures(` ${remedy}`)));
  return [more(`${counted(excluded.length, "account")} left out, and why`, el("ul", "", ...lines))];
}

function checks({ checks: made = [] }) {
  if (!made.length) return [];
  const lines = made.map((check) => {
    const [word, tone] = VERDICTS[check.verdict] ?? ["not reached", "plain"];
    const said = (check.findings ?? [check]).map(({ words = "", remedy = "" }) => `${words} ${remedy}`).join(" ");
    return el("li", "", `${check.number}. ${check.name} `, el("span", `chip ${tone}`, word), ...figures(` ${said}`));
  });
  return [more(`${counted(made.length, "check")} before the order`, el("ul", "", ...lines))];
}

function aged({ ages }) {
  const known = Object.values(ages).filter((seconds) => seconds !== null);
  return known.length ? [el("p", "quiet", `Decided by facts that are ${number(String(Math.max(...known)))} s old at most.`)] : [];
}
