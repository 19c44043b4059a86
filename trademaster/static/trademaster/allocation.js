// How the value is spread: by asset class, sector or broker. Amounts are added up exactly; the parts sum to 100.00.

import { KINDS as CLASSES, NO_SECTOR, sectorOf } from "./book_model.js";
import { keyed, put, say } from "./dom.js";
import { compare, counted, percent, rupees } from "./format.js";
import { inOrder } from "./in_order.js";
import { remember, remembered } from "./remembered.js";
import { parts, sum } from "./exact.js";
import { hearSectors, knownSectors, sectorTrouble, wantSectors } from "./sectors.js";

const AT_FIRST = 4;

const byId = (id) => document.getElementById(id);
const state = { way: "class", isWhole: false, portfolio: null };

function begin() {
  const ways = [...document.getElementsByName("allocation-way")];
  const chosen = ways.find(({ value }) => value === remembered("allocation"));
  if (chosen) {
    chosen.checked = true;
    state.way = chosen.value;
  }
  for (const way of ways) {
    way.addEventListener("change", () => {
      state.way = way.value;
      remember("allocation", way.value);
      render();
    });
  }
  byId("allocation-more").addEventListener("click", () => {
    state.isWhole = !state.isWhole;
    render();
  });
}
begin();
hearSectors(() => state.way === "sector" && render());

export function renderAllocation(portfolio) {
  state.portfolio = portfolio;
  byId("allocation-panel").hidden = portfolio.positions.length === 0;
  render();
}

const BY = {
  class: ({ positions }) => summed(positions, ({ asset_class: kind }) => CLASSES[kind]),
  sector: ({ positions }) => summed(positions, (row) => sectorOf(row, knownSectors())),
  broker: ({ broker_breakdown: rows }) => rows
    .filter(({ total_value: value }) => value !== null)
    .map((row) => ({ key: row.connection_id, name: row.display_name || row.broker_name, value: row.total_value })),
};

/** One line per name, of what has a value. */
function summed(positions, nameOf) {
  const values = new Map();
  for (const row of positions) {
    if (row.current_value === null) continue;
    const name = nameOf(row);
    values.set(name, [...(values.get(name) ?? []), row.current_value]);
  }
  return [...values].map(([name, each]) => ({ key: name, name, value: sum(each) }));
}

function render() {
  const { portfolio } = state;
  if (!portfolio) return;
  if (state.way === "sector") wantSectors(portfolio);
  const lines = BY[state.way](portfolio).sort((one, other) => compare(other.value, one.value));
  const weights = parts(lines.map(({ value }) => value));
  const weighed = lines.map((line, index) => ({ ...line, weight: weights[index] }));
  // What is not known stands last, and is never left out.
  const known = weighed.filter(({ name }) => name !== NO_SECTOR);
  const unknown = weighed.filter(({ name }) => name === NO_SECTOR);
  const shown = state.isWhole ? known : known.slice(0, AT_FIRST);
  const list = byId("allocation");
  const rows = [...shown, ...unknown];
  keyed(list, rows, ({ key }) => key, "allocation-template", fill);
  inOrder(list, rows.map(({ key }) => key));
  const more = byId("allocation-more");
  more.hidden = known.length <= AT_FIRST;
  more.setAttribute("aria-expanded", String(state.isWhole));
  say(more, state.isWhole ? "Show the largest alone" : `Show all ${known.length}: ${percent(restOf(known))} more`);
  say(byId("allocation-words"), wordsOf(portfolio, lines, weights));
}

const restOf = (known) => (known.length > AT_FIRST ? sum(known.slice(AT_FIRST).map(({ weight }) => weight ?? "0.00")) : "0.00");

function fill(fields, { name, value, weight }, node) {
  node.classList.toggle("unknown-part", name === NO_SECTOR);
  say(fields.kind, name);
  fields.kind.title = name;
  put(fields.amount, value, rupees);
  put(fields.weight, weight, percent);
  fields.bar.value = weight ?? 0;
  fields.bar.title = weight === null ? "" : percent(weight);
  fields.bar.setAttribute("aria-label", `Part of ${name}`);
}

/** What the lines sum to, or why they cannot. */
function wordsOf({ coverage }, lines, weights) {
  const sums = weights.some((weight) => weight === null) ? "Of nothing no part can be told." : `Sums to ${percent(sum(weights))} of the total value.`;
  const gaps = [
    coverage.without_price && `${counted(coverage.without_price, "holding")} without a price ${coverage.without_price === 1 ? "is" : "are"} in no line.`,
    coverage.sources_missing && `${counted(coverage.sources_missing, "account")} did not answer, and ${coverage.sources_missing === 1 ? "is" : "are"} in no line.`,
    state.way === "sector" && sectorTrouble(),
  ];
  return [lines.length ? sums : "No holding has a price.", ...gaps].filter(Boolean).join(" ");
}
