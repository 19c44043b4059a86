// The order ticket: what is typed is previewed as it is typed, and placed once.

import { ApiError, call } from "./api.js";
import { announce, say } from "./dom.js";
import { figures } from "./figures.js";
import { istTime, number, rupees } from "./format.js";
import { described, searchIn } from "./instrument_search.js";
import { Placing } from "./placing.js";
import { el, previewed, reason } from "./ticket_preview.js";
import { mistakes } from "./ticket_typed.js";

const PREVIEW_WAIT_MS = 250;
// What is refused now may be taken soon: a price comes, a broker answers. It is looked at again, later each time.
const AGAIN_MS = 5_000;
const LATEST_AGAIN_MS = 60_000;
const NUMBER = /^\d+(\.\d{1,4})?$/;
const NEEDS = { LIMIT: ["price"], MARKET: [], SL: ["price", "trigger_price"], SL_M: ["trigger_price"] };
const SAID = {
  FILLED: "Filled", WORKING: "Sent", AWAITING_APPROVAL: "Waits for your approval", REFUSED: "Refused: nothing was sent",
  REJECTED: "Rejected by the broker: nothing stands", NOT_PLACED: "No broker had it: nothing stands",
};
const byId = (id) => document.getElementById(id);

const form = byId("ticket-form");
const fields = byId("ticket-fields");
const [preview, answer, place] = [byId("ticket-preview"), byId("ticket-answer"), byId("ticket-place")];
const EMPTY = preview.innerHTML;
const placing = new Placing(form.dataset.user);
const state = { instrument: null, closes: null, decision: null, asked: 0, opened: 0, isSending: false, timer: null, looks: 0 };

const search = searchIn(byId("ticket-search"), byId("ticket-found"), { onChosen: chosen, onTrouble: (words) => tell(reason({ words }, "bad")) });

// --- what is asked for -----------------------------------------------------------------------------------------------
function value(name) {
  return form.elements[name].value.trim().replaceAll(",", "");
}

/** The body of the order; null while it is not whole. */
function wanted() {
  const { instrument } = state;
  const needs = NEEDS[value("order_type")];
  if (!instrument || !["quantity", ...needs].every((name) => NUMBER.test(value(name)) && /[1-9]/.test(value(name)))) return null;
  const body = { instrument: instrument.id, side: value("side"), order_type: value("order_type"), product: value("product"), quantity: value("quantity") };
  for (const name of needs) body[name] = value(name);
  return body;
}

const words = ({ side, quantity }) => `${side === "BUY" ? "Buy" : "Sell"} ${number(quantity)} ${state.instrument.tradingsymbol}`;
const isContract = () => state.instrument !== null && state.instrument.expiry !== null;

function chosen(instrument) {
  state.instrument = instrument;
  if (!instrument) state.opened += 1; // cleared, or typed into: a row that is still being looked up is meant no more
  say(byId("ticket-instrument"), instrument ? `${instrument.exchange} · ${described(instrument)}` : "Choose what to deal in.");
  if (instrument) {
    const banned = instrument.expiry ? ["CNC", "MTF"] : ["NRML"];
    const product = form.elements.product;
    for (const option of product.options) option.disabled = banned.includes(option.value);
    if (product.selectedOptions[0].disabled) product.value = instrument.expiry ? "NRML" : "CNC";
    tellPrice(instrument);
  }
  changed();
}

/** 1531.2 → 1531.20; more places than two stay. */
const withPaise = (text) => text.replace(/^(\d+)(?:\.(\d))?$/, (_, whole, tenth = "0") => `${whole}.${tenth}0`);

/** The last price beside the name, and as a first limit where none is typed. */
async function tellPrice(instrument) {
  try {
    const { quotes: [quote] } = await call("GET", `market/quotes?instruments=${instrument.id}`);
    if (state.instrument !== instrument || !quote || quote.last_price === null) return;
    const aged = quote.stale ? `, stale, of ${istTime(quote.as_of)} IST` : "";
    say(byId("ticket-instrument"), `${instrument.exchange} · ${described(instrument)} · last ${rupees(withPaise(quote.last_price))}${aged}`);
    if (!value("price") && !quote.stale) form.elements.price.value = quote.last_price;
    changed();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // without a price the ticket works as well
  }
}

/** Something was typed: what was previewed holds no more. */
function changed() {
  const needs = NEEDS[value("order_type")];
  for (const label of form.querySelectorAll("[data-needs]")) label.hidden = !needs.includes(label.dataset.needs);
  if (placing.pending || state.closes) return;
  asksNothing();
  const body = wanted();
  state.decision = null;
  place.disabled = true;
  place.replaceChildren(...figures(body ? words(body) : "Place the order"));
  if (!body) {
    const wrong = mistakes(Object.fromEntries(["quantity", ...needs].map((name) => [name, value(name)])));
    if (wrong.length) preview.replaceChildren(...wrong.map((each) => reason(each, "bad")));
    else preview.innerHTML = EMPTY;
    preview.removeAttribute("aria-busy");
    return;
  }
  preview.setAttribute("aria-busy", "true");
  state.timer = setTimeout(() => look(body, state.asked), PREVIEW_WAIT_MS);
}

/** What was asked is not wanted any more, nor is it asked again. */
function asksNothing() {
  clearTimeout(state.timer);
  state.asked += 1;
  state.looks = 0;
}

async function look(body, mine) {
  let [told, decision, isFinal] = [[], null, false];
  try {
    ({ decision } = await call("POST", "orders/preview", body));
    told = previewed(decision, body, isContract());
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    told = [el("p", "notice bad", ...figures(wrong(error)))];
    isFinal = error.isFinal;
  }
  if (mine !== state.asked || placing.pending || state.isSending) return;
  state.decision = decision;
  show(told);
  place.disabled = decision === null || decision.refusals.length > 0;
  if (place.disabled && !isFinal) later(body, mine, Math.min(LATEST_AGAIN_MS, AGAIN_MS * 2 ** state.looks++));
}

/** Not for a ticket that nobody sees: each look may ask the brokers. */
function later(body, mine, wait) {
  const isSeen = () => !document.hidden && form.checkVisibility();
  state.timer = setTimeout(() => (isSeen() ? look(body, mine) : later(body, mine, wait)), wait);
}

/** What was opened to be read stays open; the same words stay as they are. */
function show(told) {
  preview.removeAttribute("aria-busy");
  if (preview.textContent === told.map((node) => node.textContent).join("")) return;
  const titles = (selector) => [...preview.querySelectorAll(selector)].map((node) => node.textContent);
  const open = new Set(titles("details[open] > summary"));
  preview.replaceChildren(...told);
  for (const title of preview.querySelectorAll("details > summary")) title.parentElement.open = open.has(title.textContent);
}

/** An error, with the fields that it names. */
function wrong({ code, message, details }) {
  if (code !== "invalid_input" || !details) return message;
  return Object.entries(details).map(([name, said]) => `${name.replaceAll("_", " ")}: ${[said].flat().join(" ")}`).join(" ");
}

// --- placing ---------------------------------------------------------------------------------------------------------
async function submit() {
  const body = state.closes ?? wanted();
  if (state.isSending || placing.pending || place.disabled || !body) return;
  const path = state.closes ? "orders/square-off" : "orders";
  await sending(() => placing.place(path, body, place.textContent));
}

async function sending(work) {
  state.isSending = place.disabled = fields.disabled = true;
  tell(el("p", "quiet", "Sending…"));
  const { words: named } = placing.pending ?? { words: place.textContent };
  const outcome = await work();
  state.isSending = false;
  settled(outcome, named);
}

function settled({ answer: placed, refused, lost, duplicate }, named) {
  fields.disabled = Boolean(lost || duplicate);
  place.disabled = true;
  if (placed) return tellPlaced(placed, named);
  if (lost) return tellLost(lost);
  if (duplicate) return tellDuplicate(duplicate);
  tell(el("p", "notice bad", el("strong", "", "Nothing was sent. "), ...figures(wrong(refused))));
  if (!state.closes) changed();
  else place.disabled = false;
}

function tellPlaced({ order, decision }, named) {
  const isBad = ["REFUSED", "REJECTED", "NOT_PLACED"].includes(order.status);
  const said = order.has_unknown ? "Not known: no answer came from the broker. Nothing of it is sent again" : SAID[order.status] ?? order.status;
  const tone = isBad ? "bad" : order.has_unknown || order.status === "AWAITING_APPROVAL" ? "warn" : "good";
  const why = [order.reason, isBad ? "" : decision?.why].filter(Boolean).map((each) => `${each} `).join("");
  const link = el("a", "", "Its page");
  link.href = `/orders/${order.id}/`;
  tell(el("p", `notice ${tone}`, el("strong", "", ...figures(`${named}: ${said}. `)), ...figures(why), link));
  announce(`${said}.`);
  document.dispatchEvent(new CustomEvent("orders-changed"));
  state.closes = null;
  clear({ keeps: true });
}

function tellLost(error) {
  const again = button("Ask again", "primary", () => sending(() => placing.again()));
  const list = el("a", "", "See the list of orders");
  list.href = "/orders/";
  tell(
    el("p", "notice warn", el("strong", "", ...figures(`${placing.pending.words}: no answer came. `)),
      "It may have been taken, or not. Asking again sends the same order under the same key: it can never become two. ",
      error ? error.message : "This page was left before the answer."),
    el("p", "actions", again, list),
  );
  again.focus();
}

function tellDuplicate(error) {
  const twice = button("Place it a second time", "danger", () => sending(() => placing.confirmed()));
  const leave = button("Leave it", "", () => {
    placing.forget();
    fields.disabled = false;
    tell();
    changed();
  });
  const first = el("a", "", "The first");
  first.href = `/orders/${error.details.order}/`;
  const at = istTime(error.details.placed_at);
  tell(el("p", "notice warn", el("strong", "", `The same order was placed at ${at} IST. `), "A second one costs as much again. ", first), el("p", "actions", leave, twice));
  leave.focus();
}

function button(label, className, work) {
  const node = el("button", className, label);
  node.type = "button";
  node.addEventListener("click", work);
  return node;
}

function tell(...nodes) {
  answer.replaceChildren(...nodes);
}

// --- opening ---------------------------------------------------------------------------------------------------------
/** Empty the ticket; `keeps`: what the last answer said, what was dealt in and at which price stay. */
function clear({ keeps = false } = {}) {
  for (const name of keeps ? ["quantity"] : ["quantity", "price", "trigger_price"]) form.elements[name].value = "";
  for (const element of fields.elements) element.disabled = false;
  byId("ticket-closes").hidden = true;
  state.closes = null;
  if (!keeps) {
    tell();
    search.clear();
    chosen(null);
  } else changed();
}

/** `deal`: what a row's button is about ({symbol, isin, exchange, held}, or a position: {connection, product, …}); or nothing. */
export async function open(side, deal = null) {
  if (state.isSending) return; // its answer is on its way, and will be told
  if (placing.pending) return tellLost(null); // one order at a time
  if (deal) clear();
  const mine = ++state.opened;
  form.elements.side.value = side === "CLOSE" ? (deal.quantity.startsWith("-") ? "BUY" : "SELL") : side;
  if (!deal) {
    changed();
    return byId("ticket-search").focus();
  }
  const fits = ({ tradingsymbol, exchange, exchange_token: token }) =>
    (!deal.exchange || exchange === deal.exchange) && (deal.token ? token === deal.token : deal.isin || tradingsymbol === deal.symbol);
  const found = await search.find({ q: deal.isin ?? deal.symbol, ...(deal.exchange ? { exchange: deal.exchange } : {}) }, fits);
  if (mine !== state.opened) return; // another row, or what was typed, came in between
  if (side === "CLOSE") return found && close(deal, found);
  if (side === "SELL" && deal.held) form.elements.quantity.value = deal.held;
  changed();
  form.elements.quantity.focus();
}

/** Closing a position is no free order: it goes to the broker that holds it, and nowhere else. */
function close({ connection, broker, product, quantity, symbol }, instrument) {
  asksNothing();
  state.closes = { connection, instrument: instrument.id, product };
  form.elements.product.value = product;
  form.elements.order_type.value = "MARKET";
  form.elements.quantity.value = quantity.replace("-", "");
  for (const element of fields.elements) element.disabled = true;
  const buys = quantity.startsWith("-") ? "Buys back" : "Sells";
  const note = byId("ticket-closes");
  note.replaceChildren(...figures(`${buys} ${number(quantity.replace("-", ""))} ${symbol} at ${broker}, which holds the position, and nowhere else: near the last price, protected by a limit. What other orders close already is not closed twice.`));
  note.hidden = false;
  preview.replaceChildren();
  place.textContent = `Square off ${symbol} at ${broker}`;
  place.disabled = false;
  place.focus();
}

form.addEventListener("input", changed);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("ticket-again").addEventListener("click", () => {
  if (!placing.pending) clear();
});
if (placing.pending) {
  fields.disabled = true;
  place.replaceChildren(...figures(placing.pending.words));
  tellLost(null);
}

export const isUnderWay = () => placing.pending !== null;
export { form };

/** How long the market is open, or when it opens. */
export async function tellMarket() {
  try {
    const { markets } = await call("GET", "market/status");
    const nse = markets.find(({ exchange }) => exchange === "NSE");
    const told = nse?.is_open ? `NSE is open until ${istTime(nse.until)}` : nse?.next_open ? `NSE opens ${istTime(nse.next_open)} IST` : "";
    say(byId("ticket-market"), told);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // the preview says so, too
  }
}
