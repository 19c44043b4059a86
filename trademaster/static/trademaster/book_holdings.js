// The holdings as a table that is filtered, sorted, grouped and paged, and that stays where it is while its numbers move.

import { brokersOf, fillBar } from "./book_brokers.js";
import { fillDetails } from "./book_details.js";
import { KINDS, MOVES, ROWS_A_PAGE, arrange, sectorOf, sumsOf } from "./book_model.js";
import { Rows } from "./book_rows.js";
import { SettlingOrder, arrowsLead, choices, showWish, sortPressed, tellOrder } from "./book_table.js";
import { wishes } from "./book_wish.js";
import { NO_ISIN, average, averageGap, briefly, partChips, priceSource, priceWords, shownWords, staleParts } from "./book_words.js";
import { announce, chips, put, say, slots } from "./dom.js";
import { counted, number, percent, signedNumber, signedPercent } from "./format.js";
import { areSectorsTold, hearSectors, knownSectors, sectorTrouble, wantSectors } from "./sectors.js";

const GAIN = { tone: true };
// Everything, the most valuable first. `move`: GAIN, LOSS or UNPRICED; `group`: broker, kind or sector.
const EVERYTHING = { text: "", broker: "", kind: "", sector: "", move: "", group: "", sort: "value", reversed: false, page: 1 };
const asked = wishes("trademaster.holdings", EVERYTHING, ["text", "broker", "kind", "sector", "move"]);
const byId = (id) => document.getElementById(id);
const table = byId("holdings");
const tools = byId("holdings-tools");
const rows = new Rows(table.tHead, {
  row: { template: "position-template", fill: fillPosition },
  group: { template: "group-template", fill: fillGroup },
});
const state = {
  portfolio: null, brokers: null, wish: asked.remembered(localStorage), open: new Map(), // key → the number asked about, "" for all
  shown: null,
};
const order = new SettlingOrder(table, () => render(state.portfolio, true));

/** Show these holdings; without an argument the same ones again, in an order made anew. */
export function renderHoldings(portfolio) {
  render(portfolio ?? state.portfolio, portfolio !== undefined);
}

/** `isNews`: the order that stands is kept, or goes on to be put right. */
function render(portfolio, isNews) {
  state.portfolio = portfolio;
  if (!portfolio) return;
  Object.assign(state, brokersOf(portfolio.sources));
  if (needsSectors()) wantSectors(portfolio);
  const kept = order.kept(isNews);
  const arranged = arrange(portfolio.positions, state.wish, { sectors: knownSectors(), ...kept });
  order.isArranged(kept, arranged);
  state.shown = arranged;
  rows.show(arranged.entries, state.brokers);
  for (const key of state.open.keys()) details(key);
  tellWhatIsShown(arranged);
}

// --- one row ---------------------------------------------------------------------------------------------------------
function fillPosition(fields, position, node) {
  const row = node.firstElementChild;
  const isOpen = state.open.has(position.key);
  row.dataset.isin = position.isin ?? "";
  row.classList.toggle("stale", position.broker_positions.every(({ stale }) => stale));
  deals(row, fields, position);
  say(fields.symbol, position.symbol);
  say(fields.company, position.company_name ?? position.exchange);
  fields.company.title = position.company_name ?? "";
  put(fields.quantity, position.total_quantity, number);
  chips(fields.parts, briefly(partChips(position)));
  chips(fields.flags, [...(position.isin ? [] : [NO_ISIN]), ...staleParts(position, state.accounts)]);
  put(fields.average, position.avg_price, average, position.avg_price === null ? { unknown: averageGap(position) } : {});
  say(fields.known, position.avg_price === null ? "not known" : "");
  put(fields.last, position.current_price, number);
  const source = priceSource(position, state.names);
  say(fields.source, source);
  fields.source.dataset.state = position.price_state ?? "";
  fields.source.title = position.current_price === null ? "" : priceWords(position, state.names);
  put(fields.day, position.day_change, signedNumber, GAIN);
  put(fields.day_percent, position.day_change_percent, signedPercent, GAIN);
  put(fields.unrealised, position.unrealized_pnl, signedNumber, GAIN);
  put(fields.unrealised_percent, position.unrealized_pnl_percent, signedPercent, GAIN);
  put(fields.value, position.current_value, number);
  put(fields.weight, position.weight_percent, percent);
  fields.bar.value = position.weight_percent ?? 0;
  fields.bar.hidden = position.weight_percent === null;
  fillBar(fields.brokers, position, state.brokers);
  fields.lines.hidden = !isOpen;
  fields.expander.setAttribute("aria-expanded", String(isOpen));
}

/** What the buttons of a row deal in: the ticket reads it there. */
function deals(row, fields, { symbol, isin, exchange, total_quantity: held }) {
  const facts = `${symbol}\n${isin}\n${exchange}\n${held}`;
  if (row.dataset.facts === facts) return;
  row.dataset.facts = facts;
  row.dataset.deal = JSON.stringify({ symbol, isin, exchange, held });
  for (const [button, word] of [[fields.buy, "Buy"], [fields.sell, "Sell"]]) button.setAttribute("aria-label", `${word} ${symbol}`);
}

function fillGroup(fields, { name, rows: members, sums }) {
  say(fields.name, name);
  say(fields.count, [counted(members.length, "security", "securities"), ...gapsOf(sums)].join(" · "));
  fillSums(fields, sums);
}

function fillSums(fields, { value, day, unrealised }) {
  put(fields.value, value.amount, number);
  put(fields.day, day.amount, signedNumber, GAIN);
  put(fields.unrealised, unrealised.amount, signedNumber, GAIN);
}

/** What a sum does not cover. */
function gapsOf({ value, day, unrealised }) {
  const missing = [[value, "without price"], [day, "without today’s change"], [unrealised, "without cost or price"]];
  return missing.filter(([{ known, of }]) => known < of).map(([{ known, of }, words]) => `${of - known} ${words}`);
}

// --- what opens beneath ------------------------------------------------------------------------------------------------
function details(key) {
  const position = state.portfolio.positions.find((each) => each.key === key);
  const node = rows.nodeOf(key);
  if (!position || !node || !state.open.has(key)) return;
  const { sources, total_value } = state.portfolio;
  const context = { sources, total_value, brokers: state.names, accounts: state.accounts };
  fillDetails(slots(node).details, position, state.open.get(key), context);
}

function toggle(key, number) {
  if (state.open.get(key) === number) state.open.delete(key);
  else state.open.set(key, number);
  rows.again(key);
  details(key);
}

table.addEventListener("click", ({ target }) => {
  const key = target.closest("tbody")?.dataset.key;
  const figure = target.closest("[data-explain]");
  if (figure) toggle(key, figure.dataset.explain);
  else if (target.closest(".expander")) toggle(key, state.open.get(key) ?? "");
  const sorting = sortPressed(target, state.wish);
  if (sorting) wishFor(sorting);
});
arrowsLead(table);

// --- what is wished for ------------------------------------------------------------------------------------------------
function wishFor(changed, { turning = false } = {}) {
  state.wish = { ...state.wish, ...(turning ? {} : { page: 1 }), ...changed };
  asked.remember(localStorage, state.wish);
  renderHoldings();
  if (state.shown) announce(`${counted(state.shown.rows.length, "security", "securities")} shown.`);
}

tools.addEventListener("submit", (event) => event.preventDefault());
tools.addEventListener("input", ({ target }) => target.name && wishFor({ [target.name]: target.value.trim() }));
tools.addEventListener("reset", () => wishFor(asked.usual));
for (const news of ["focusin", "pointerenter"]) tools.addEventListener(news, () => state.portfolio && wantSectors(state.portfolio));
for (const [name, step] of [["previous", -1], ["next", 1]]) {
  byId(`holdings-${name}`).addEventListener("click", () => {
    wishFor({ page: state.shown.page + step }, { turning: true });
    table.scrollIntoView({ block: "nearest" });
  });
}

const needsSectors = () => state.wish.sector !== "" || state.wish.group === "sector";
hearSectors(() => renderHoldings());

function tellWhatIsShown({ rows: shown, page, pages }) {
  const { portfolio, wish } = state;
  const all = portfolio.positions;
  const isNarrowed = asked.narrows(wish);
  fillChoices();
  say(byId("holdings-count"), shownWords(shown.length, all.length, chosenBy(wish)));
  byId("holdings-reset").hidden = asked.isUsual(wish);
  const trouble = needsSectors() ? sectorTrouble() : "";
  byId("holdings-trouble").hidden = !trouble;
  say(byId("holdings-trouble"), trouble && `${trouble} They are asked for again each minute.`);
  byId("no-holdings").hidden = shown.length > 0;
  say(byId("no-holdings"), all.length ? "No holding is as the filter says. Nothing is lost: reset it to see all of them." : "No shares at the brokers that answered.");
  const { total_value: value, day_change: day, unrealized_pnl: unrealised } = portfolio;
  const sums = isNarrowed ? sumsOf(shown) : null;
  const fields = slots(byId("holdings-sum"));
  say(fields.name, isNarrowed ? `Shown: ${shown.length} of ${all.length}` : "All");
  say(fields.count, isNarrowed ? ["whole rows, at all brokers", ...gapsOf(sums)].join(" · ") : coverWords(portfolio));
  fillSums(fields, sums ?? { value: { amount: value }, day: { amount: day }, unrealised: { amount: unrealised } });
  byId("holdings-sum").hidden = all.length === 0;
  byId("holdings-pages").hidden = pages === 1;
  const first = (page - 1) * ROWS_A_PAGE;
  say(byId("holdings-page"), `${first + 1}–${Math.min(first + ROWS_A_PAGE, shown.length)} of ${shown.length}`);
  byId("holdings-previous").disabled = page === 1;
  byId("holdings-next").disabled = page === pages;
  tellOrder(table, wish);
}

function coverWords({ coverage }) {
  const { without_price: price, without_cost: cost, without_day_change: day } = coverage;
  const gaps = [[price, "without price"], [cost, "without cost"], [day, "without today’s change"]];
  return gaps.filter(([count]) => count).map(([count, words]) => `${count} ${words}`).join(" · ");
}

function chosenBy({ text, broker, kind, sector, move }) {
  return [text && `“${text}”`, broker && (state.names[broker] ?? broker), kind && KINDS[kind], sector, move && MOVES[move]].filter(Boolean);
}

// --- what can be chosen ------------------------------------------------------------------------------------------------
function fillChoices() {
  const { positions } = state.portfolio;
  choices(tools.elements.broker, Object.entries(state.brokers).map(([slug, { name }]) => [slug, name]), state.wish.broker);
  const sectors = knownSectors();
  if (areSectorsTold() && (state.sectorsOf !== positions.length || state.sectors !== sectors)) {
    const names = [...new Set(positions.map((row) => sectorOf(row, sectors)))].sort();
    choices(tools.elements.sector, names.map((name) => [name, name]), state.wish.sector);
    Object.assign(state, { sectors, sectorsOf: positions.length });
  }
  showWish(tools, state.wish);
}
