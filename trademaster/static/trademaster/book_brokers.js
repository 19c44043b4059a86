// The brokers of a book as the table shows them: a name, a colour and a letter each, in the order of the registry.

import { accountNames } from "./account_names.js";
import { percent, ratioPercent } from "./format.js";
import { sum } from "./exact.js";

const HUES = 8;
let last = { signature: null };

/** {slug: {name, hue, letter}} of whoever is a source of the book, their `names` by slug, and what their `accounts` are
 * called by connection; the same objects as long as they are the same. */
export function brokersOf(sources) {
  const named = ({ connection_id, broker_id, broker_name, display_name }) => [connection_id, broker_id, broker_name, display_name].join("\n");
  const signature = sources.map(named).join("\n\n");
  if (last.signature !== signature) last = { signature, brokers: told(sources) };
  return last.brokers;
}

function told(sources) {
  const brokers = Object.create(null);
  const names = Object.create(null);
  const taken = new Set();
  for (const { broker_id: slug, broker_name: name } of sources) {
    if (brokers[slug]) continue;
    const letter = letterOf(name, taken);
    taken.add(letter);
    brokers[slug] = { name, letter, hue: String(Object.keys(brokers).length % HUES) };
    names[slug] = name;
  }
  return { brokers, names, accounts: accountNames(sources) };
}

/** The first letter of one of its words that no broker before it has; else any letter; else what all may have. */
function letterOf(name, taken) {
  const words = name.toUpperCase().match(/[A-Z0-9]+/g) ?? [];
  return [...words.map(([first]) => first), ...words.join("")].find((letter) => !taken.has(letter)) ?? "·";
}

/** One stacked bar: each broker's part of a position, by quantity, which at one price is also its part of the value. */
export function fillBar(node, { broker_positions: lines, total_quantity: total }, brokers) {
  const signature = lines.map(({ broker_id, quantity }) => `${broker_id} ${quantity}`).join(" ");
  if (node.dataset.parts === signature) return;
  node.dataset.parts = signature;
  const words = [];
  const parts = [...grouped(lines)].map(([slug, quantities]) => {
    const { name, letter, hue } = brokers[slug] ?? { name: slug, letter: "·", hue: "0" };
    const ratio = ratioPercent(sum(quantities), total) ?? "0";
    words.push(`${name} ${percent(ratio)}`);
    const part = Object.assign(document.createElement("i"), { textContent: letter });
    part.dataset.hue = hue;
    part.style.flexGrow = ratio;
    return part;
  });
  node.replaceChildren(...parts);
  node.title = words.join(" · ");
  node.setAttribute("aria-label", words.join(", "));
}

function grouped(lines) {
  const found = new Map();
  for (const { broker_id, quantity } of lines) found.set(broker_id, [...(found.get(broker_id) ?? []), quantity]);
  return found;
}
