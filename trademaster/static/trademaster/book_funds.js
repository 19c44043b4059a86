// The money at each broker, and over all of them.

import { chips, keyed, put, say, slots } from "./dom.js";
import { istTime, number } from "./format.js";

const AMOUNTS = ["available", "used", "collateral", "cash"];
const byId = (id) => document.getElementById(id);
const shown = { funds: null };

export function renderFunds(funds, sources) {
  if (shown.funds === funds) return;
  shown.funds = funds;
  keyed(byId("funds"), funds.brokers, ({ connection_id }) => connection_id, "fund-template", (fields, line, node) => {
    node.classList.toggle("stale", line.stale);
    say(fields.broker, line.broker_name);
    chips(fields.stale, line.stale ? [{ text: "stale", tone: "warn", title: `From ${istTime(line.as_of)}: it does not answer now` }] : []);
    say(fields.as_of, line.as_of === null ? "not told" : istTime(line.as_of));
    fillFunds(fields, line);
  });
  const fields = slots(byId("funds-sum"));
  fillFunds(fields, funds);
  say(fields.cover, coverWords(funds, sources));
  byId("no-funds").hidden = funds.brokers.length > 0;
}

function fillFunds(fields, line) {
  for (const name of AMOUNTS) put(fields[name], line[name], number);
}

/** What the sums leave out, or hold from before. */
function coverWords({ brokers }, sources) {
  const told = new Set(brokers.map(({ connection_id }) => connection_id));
  const missing = sources.filter(({ connection_id }) => !told.has(connection_id)).map(({ broker_name }) => `without ${broker_name}`);
  const unknown = brokers.filter(({ available }) => available === null).map(({ broker_name }) => `${broker_name} does not tell`);
  const stale = brokers.filter((line) => line.stale).map(({ broker_name }) => `${broker_name} from before`);
  return [...missing, ...unknown, ...stale].join(" · ");
}
