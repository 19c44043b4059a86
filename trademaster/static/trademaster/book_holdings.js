// The holdings as a table that is filtered, sorted, grouped and paged, and that stays where it is while its numbers move.

import { brokersOf, fillBar } from "./book_brokers.js";
import { fillDetails } from "./book_details.js";
import { KINDS, MOVES, ROWS_A_PAGE, arrange, sectorOf, sumsOf } from "./book_model.js";
import { Rows } from "./book_rows.js";
import { EVERYTHING, isUsual, narrows, remember, remembered } from "./book_wish.js";
import { NO_ISIN, average, averageGap, briefly, partChips, priceSource, priceWords, shownWords, staleParts } from "./book_words.js";
import { announce, chips, put, say, slots } from "./dom.js";
import { counted, number, percent, signedNumber, signedPercent } from "./format.js";
import { areSectorsTold, hearSectors, knownSectors, sectorTrouble, wantSectors } from "./sectors.js";

const GAIN = { tone: true };
const SORTED_FOR_MS = 5_000; // so long at least an order stands, for whoever aims at a row
const byId = (id) => document.getElementById(id);
const table = byId("holdings");
const tools = byId("holdings-tools");
const rows = new Rows(table.tHead, {
  row: { template: "position-template", fill: fillPosition },
  group: { template: "group-template", fill: fillGroup },
});
const state = {
  portfolio: null, brokers: null, wish: remembered(localStorage), open: new Map(), // key → the number asked about, "" for all
  order: null, sortedAt: 0, isAimedAt: false, shown: null,
};

/** Show these holdings; without an argument the same ones again, in an order made anew. */
export function renderHoldings(portfolio = state.portfolio) {
  const isNew = portfolio !== state.portfolio;
  state.portfolio = portfolio;
  if (!portfolio) return;
  const { brokers, names } = brokersOf(portfolio.sources);
  Object.assign(state, { brokers, names });
  if (needsSectors()) wantSectors(portfolio);
  const now = performance.now();
  const isHeld = isNew && state.order && (state.isAimedAt || now - state.sortedAt < SORTED_FOR_MS);
  const arranged = arrange(portfolio.positions, state.wish, { sectors: knownSectors(), held: isHeld ? state.order : null });
  if (!isHeld) Object.assign(state, { order: arranged.rows.map(({ key }) => key), sortedAt: now });
  state.shown = arranged;
  rows.show(arranged.entries, brokers);
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
  chips(fields.flags, [...(position.isin ? [] : [NO_ISIN]), ...staleParts(position)]);
  put(fields.average, position.avg_price, average, { unknown: averageGap(position) });
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
  const context = { sources, total_value, brokers: state.names };
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
  const asked = target.closest("[data-explain]");
  if (asked) toggle(key, asked.dataset.explain);
  else if (target.closest(".expander")) toggle(key, state.open.get(key) ?? "");
  const sort = target.closest("th")?.dataset.sort;
  if (sort && target.closest(".sort")) wishFor({ sort, reversed: state.wish.sort === sort && !state.wish.reversed });
});

// --- by keyboard -------------------------------------------------------------------------------------------------------
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** One row's buttons are a step apart; up and down go to the same one of the next row. */
table.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  const row = event.target.closest(".row");
  if (!step || !row || event.ctrlKey || event.metaKey || event.altKey) return;
  const [down, right] = step;
  const all = [...table.querySelectorAll(".row")];
  const wanted = all[all.indexOf(row) + down];
  const place = [...row.querySelectorAll("button")].indexOf(event.target.closest("button")) + right;
  const button = wanted && [...wanted.querySelectorAll("button")][place];
  if (!button) return;
  event.preventDefault();
  button.focus();
});
table.addEventListener("pointerenter", () => (state.isAimedAt = true));
table.addEventListener("pointerleave", () => (state.isAimedAt = table.contains(document.activeElement)));
table.addEventListener("focusin", () => (state.isAimedAt = true));
table.addEventListener("focusout", ({ relatedTarget }) => (state.isAimedAt = table.contains(relatedTarget) || table.matches(":hover")));

// --- what is wished for ------------------------------------------------------------------------------------------------
function wishFor(changed, { turning = false } = {}) {
  state.wish = { ...state.wish, ...(turning ? {} : { page: 1 }), ...changed };
  remember(localStorage, state.wish);
  renderHoldings();
  if (state.shown) announce(`${counted(state.shown.rows.length, "security", "securities")} shown.`);
}

tools.addEventListener("submit", (event) => event.preventDefault());
tools.addEventListener("input", ({ target }) => target.name && wishFor({ [target.name]: target.value.trim() }));
tools.addEventListener("reset", () => wishFor(EVERYTHING));
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
  const isNarrowed = narrows(wish);
  fillChoices();
  say(byId("holdings-count"), shownWords(shown.length, all.length, chosenBy(wish)));
  byId("holdings-reset").hidden = isUsual(wish);
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
  for (const head of table.tHead.querySelectorAll("[data-sort]")) tellOrder(head, wish);
}

function tellOrder(head, { sort, reversed }) {
  const isRising = (sort === "name") !== reversed;
  const order = head.dataset.sort !== sort ? "none" : isRising ? "ascending" : "descending";
  if (head.getAttribute("aria-sort") !== order) head.setAttribute("aria-sort", order);
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
  choices("broker", Object.entries(state.brokers).map(([slug, { name }]) => [slug, name]));
  const sectors = knownSectors();
  if (areSectorsTold() && (state.sectorsOf !== positions.length || state.sectors !== sectors)) {
    choices("sector", [...new Set(positions.map((row) => sectorOf(row, sectors)))].sort().map((name) => [name, name]));
    Object.assign(state, { sectors, sectorsOf: positions.length });
  }
  for (const control of tools.elements) if (control.name && document.activeElement !== control) control.value = state.wish[control.name];
}

function choices(name, known) {
  const select = tools.elements[name];
  const wished = state.wish[name];
  const all = wished && !known.some(([value]) => value === wished) ? [...known, [wished, wished]] : known;
  const signature = all.map(([value]) => value).join("\n");
  if (select.dataset.choices === signature) return;
  select.dataset.choices = signature;
  select.replaceChildren(select.options[0], ...all.map(([value, words]) => new Option(words, value)));
  select.value = wished;
}
