// What opens beneath a position: of a contract each account's part, and how the row's numbers come about.

import { fillExplanations } from "./book_details.js";
import { average, staleChip } from "./book_words.js";
import { chips, fromTemplate, keyed, put, say, slots } from "./dom.js";
import { NUMBERS, explainPosition } from "./explain_positions.js";
import { sign, signedNumber } from "./format.js";

const GAIN = { tone: true };
const partKey = ({ connection_id, symbol, product }) => [connection_id, symbol, product].join(" ");

/** Make what stands in `place`, once, and write into it. `only`: the number that was asked about; "" for all of them. */
export function fillPositionDetails(place, row, only, sources, accounts) {
  const isContract = row.broker_positions !== undefined;
  const node = place.firstElementChild ?? place.appendChild(fromTemplate(isContract ? "contract-details-template" : "trade-details-template"));
  const fields = slots(node);
  if (isContract) fillParts(fields, row, accounts);
  const told = (only ? [only] : Object.keys(NUMBERS)).map((name) => explainPosition(row, name, { sources }));
  fillExplanations(fields, told, only);
}

function fillParts(fields, contract, accounts) {
  keyed(fields.parts, contract.broker_positions, partKey, "part-template", (slots, part, line) => {
    closes(slots.close, line, { ...part, exchange: contract.exchange, token: contract.exchange_token }, accounts, sign(part.quantity) !== 0);
    fillPart(slots, part, line, accounts);
  });
}

function fillPart(fields, part, node, accounts) {
  node.classList.toggle("stale", part.stale);
  say(fields.broker, accounts[part.connection_id] ?? part.broker_name);
  chips(fields.flags, [{ text: part.product }, ...staleChip(part.stale)]);
  say(fields.symbol, part.symbol);
  put(fields.quantity, part.quantity, signedNumber);
  put(fields.average, part.avg_price, average);
  for (const name of ["day_pnl", "unrealized_pnl", "realized_pnl"]) put(fields[name], part[name], signedNumber, GAIN);
}

/** The button that closes a position, at the account that holds it; none where nothing is left to close. */
export function closes(button, node, { connection_id, broker_name, exchange, symbol, token = null, product, quantity }, accounts, isOpen) {
  const broker = accounts[connection_id] ?? broker_name;
  button.hidden = !isOpen;
  button.setAttribute("aria-label", `Square off ${symbol} at ${broker}`);
  const facts = [symbol, token, quantity, broker].join("\n");
  if (node.dataset.facts === facts) return;
  node.dataset.facts = facts;
  // What a row's button deals in: the ticket reads it there.
  node.dataset.deal = JSON.stringify({ connection: connection_id, broker, exchange, symbol, token, product, quantity });
}
