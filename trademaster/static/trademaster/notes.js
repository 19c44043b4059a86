// What the totals cover: a sentence for each account, and one for each gap.

import { chips, say } from "./dom.js";
import { counted, duration, rupees, sign } from "./format.js";

/** `lag` and `live` as in numbers.js. */
export function renderNotes(portfolio, lag, live) {
  const list = document.getElementById("notes");
  const lines = notes(portfolio, lag, live);
  while (list.children.length > lines.length) list.lastElementChild.remove();
  lines.forEach(({ text, tone }, index) => {
    const item = list.children[index] ?? list.appendChild(document.createElement("li"));
    item.className = tone;
    tell(item, text);
  });
  chips(document.getElementById("coverage-chips"), inShort(lines));
}

/** Words; a piece that is an array of one is an amount, which privacy mode hides. */
function tell(item, text) {
  const pieces = [text].flat();
  if (item.textContent === pieces.flat().join("") && Boolean(item.firstElementChild) === Array.isArray(text)) return;
  item.replaceChildren(...pieces.map((piece) => (Array.isArray(piece) ? amount(piece[0]) : piece)));
}

function amount(words) {
  const node = document.createElement("span");
  node.dataset.money = "";
  node.textContent = words;
  return node;
}

/** What the list would say if it were opened. */
function inShort(lines) {
  const toned = (wanted) => lines.filter(({ tone }) => tone === wanted).length;
  const [bad, warn] = [toned("bad"), toned("warn")];
  if (bad + warn === 0) return [{ text: "all of it", tone: "good" }];
  return [
    ...(bad ? [{ text: `${bad} missing`, tone: "bad" }] : []),
    ...(warn ? [{ text: `${warn} with a caveat`, tone: "warn" }] : []),
  ];
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
    lines.push({ text: ["Unrealised P&L stands on ", [rupees(coverage.value_with_known_cost)], " of the total value."], tone: "plain" });
  }
  if (mtf_funded_amount === null) lines.push({ text: "What brokers lent for MTF shares is not known.", tone: "warn" });
  else if (sign(mtf_funded_amount) !== 0) {
    const told = ["Brokers lent ", [rupees(mtf_funded_amount)], " for MTF shares: they are in the value in full, and the net worth takes the loan off."];
    lines.push({ text: told, tone: "plain" });
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
