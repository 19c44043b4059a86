// The money at each broker, and over all of them.

import { accountNames } from "./account_names.js";
import { silence } from "./book_words.js";
import { chips, keyed, put, say, slots } from "./dom.js";
import { istTime, number } from "./format.js";

const AMOUNTS = ["available", "used", "collateral", "cash"];
const byId = (id) => document.getElementById(id);
const shown = { funds: null };

export function renderFunds(funds, sources) {
  if (shown.funds === funds) return;
  shown.funds = funds;
  const names = accountNames(sources);
  keyed(byId("funds"), funds.brokers, ({ connection_id }) => connection_id, "fund-template", (fields, line, node) => {
    node.classList.toggle("stale", line.stale);
    say(fields.broker, names[line.connection_id] ?? line.broker_name);
    chips(fields.stale, line.stale ? [{ text: "stale", tone: "warn", title: `From ${istTime(line.as_of)}. ${silence(sources.find(({ connection_id }) => connection_id === line.connection_id))}` }] : []);
    say(fields.as_of, line.as_of === null ? "not told" : istTime(line.as_of));
    fillFunds(fields, line);
  });
  const fields = slots(byId("funds-sum"));
  fillFunds(fields, funds);
  say(fields.cover, coverWords(funds, names));
  byId("no-funds").hidden = funds.brokers.length > 0;
}

function fillFunds(fields, line) {
  for (const name of AMOUNTS) put(fields[name], line[name], number);
}

/** What the sums leave out, or hold from before. */
function coverWords({ brokers }, names) {
  const told = new Set(brokers.map(({ connection_id }) => connection_id));
  const missing = Object.keys(names).filter((id) => !told.has(id)).map((id) => `without ${names[id]}`);
  const unknown = brokers.filter(({ available }) => available === null).map(({ connection_id }) => `${names[connection_id]} does not tell`);
  const stale = brokers.filter((line) => line.stale).map(({ connection_id }) => `${names[connection_id]} from before`);
  return [...missing, ...unknown, ...stale].join(" · ");
}
