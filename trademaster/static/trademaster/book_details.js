// What opens beneath a holding: each broker's line, and how the row's numbers come about.

import { average, lineChips, loanChips, partChips, priceWords } from "./book_words.js";
import { chips, fromTemplate, keyed, lines, put, say, slots } from "./dom.js";
import { NUMBERS, explain } from "./explain.js";
import { ROUNDED } from "./explain_words.js";
import { number, signedNumber } from "./format.js";

const GAIN = { tone: true };
// Two lines may be alike in all that names them: what stands where is told by its place.
const placed = (items) => items.map((item, place) => ({ item, place }));
const placeOf = ({ place }) => String(place);

/** Make what stands in `place`, once, and write into it. `only`: the number that was asked about; "" for all of them. */
export function fillDetails(place, position, only, context) {
  const node = place.firstElementChild ?? place.appendChild(fromTemplate("details-template"));
  const fields = slots(node);
  keyed(fields.brokers, placed(position.broker_positions), placeOf, "line-template", (slots, { item: line }, row) => fillLine(slots, line, row, context.accounts));
  say(fields.explained, about(position, context.brokers));
  fillExplanations(fields, (only ? [only] : Object.keys(NUMBERS)).map((name) => explain(position, name, context)), only);
}

/** What `explain` answered, one after the other; `only` as above. */
export function fillExplanations(fields, told, only) {
  say(fields.rounded, ROUNDED);
  fields.all.hidden = only === "";
  fields.all.dataset.explain = "";
  keyed(fields.numbers, placed(told), placeOf, "explanation-template", fillExplanation);
}

function fillLine(fields, line, node, accounts) {
  node.classList.toggle("stale", line.stale);
  say(fields.broker, accounts[line.connection_id] ?? line.broker_name);
  chips(fields.product, lineChips(line));
  put(fields.quantity, line.quantity, number);
  chips(fields.parts, [...partChips(line), ...loanChips(line)]);
  put(fields.average, line.avg_price, average);
  put(fields.cost, line.total_cost, number);
  put(fields.value, line.current_value, number);
  put(fields.day, line.day_change, signedNumber, GAIN);
  put(fields.unrealised, line.unrealized_pnl, signedNumber, GAIN);
}

function fillExplanation(fields, { item: { title, formula, inputs, left } }) {
  say(fields.title, title);
  say(fields.formula, formula ?? "Not known");
  keyed(fields.inputs, placed(inputs), placeOf, "explained-input-template", (slots, { item }) => {
    say(slots.name, item.name);
    say(slots.words, item.words);
  });
  lines(fields.left, left);
}

function about(position, brokers) {
  const named = position.isin ? `ISIN ${position.isin}` : "No ISIN: merged by its listing";
  const close = position.close_price === null ? "Previous close not known." : `Previous close ${number(position.close_price)}.`;
  return `${named} · ${position.exchange}. ${priceWords(position, brokers)} ${close}`;
}

