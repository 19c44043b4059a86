// What needs its owner: asked for once the page stands, when the socket tells of something, and each minute.

import { ApiError, call } from "./api.js";
import { announce, keyed, put, say } from "./dom.js";
import { counted, duration, istTime, rupees } from "./format.js";
import { inOrder } from "./in_order.js";
import { remember, remembered } from "./remembered.js";

const EACH_MS = 60_000;
// The server's list is as old as this at most: sooner it would answer the same.
const SETTLES_MS = 2000;
const AT_FIRST = 3;
const NEWS = new Set(["BROKER_STATUS_UPDATE", "ORDER_UPDATE", "RISK_EVENT", "TRADING_HALT", "ALERT_ROUTE_MUTED"]);
const GRAVITY = { bad: "Urgent:", warn: "Soon:", info: "Worth knowing:" };
const PLACES = ["bad", "warn", "info"];
const PUT_AWAY = "attention-away";

const byId = (id) => document.getElementById(id);
const title = document.title;
const state = { items: null, at: null, error: null, prices: null, isWhole: false, timer: null, done: new Set(), troubles: new Map() };

/** `on`: login(body), ask(connectionId): what only the rest of the page can do. Answers `heard(type)` and `prices(state)`. */
export function watchAttention(on) {
  const ask = async () => {
    clearTimeout(state.timer);
    state.timer = setTimeout(ask, EACH_MS);
    try {
      const { items, as_of: at } = await call("GET", "attention");
      Object.assign(state, { items, at: Date.parse(at), error: null });
      tellNews(items);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      state.error = error.message;
    }
    state.done.clear();
    show(on, soon);
  };
  const soon = () => {
    clearTimeout(state.timer);
    state.timer = setTimeout(ask, SETTLES_MS);
  };
  byId("attention-more").addEventListener("click", () => {
    state.isWhole = !state.isWhole;
    show(on, soon);
  });
  ask();
  return {
    heard: (type) => NEWS.has(type) && soon(),
    prices(told) {
      if (state.prices?.stale === told?.stale) return;
      state.prices = told;
      show(on, soon);
    },
    tick: () => state.items && renderAges(),
  };
}

/** What is urgent and new is spoken, once. */
const spoken = new Set();
function tellNews(items) {
  const fresh = items.filter(({ tone, key }) => tone === "bad" && !spoken.has(key));
  fresh.forEach(({ key }) => spoken.add(key));
  if (fresh.length) announce(`Needs attention: ${fresh.map(({ subject, words }) => `${subject}. ${words}`).join(" ")}`);
}

/** That prices stand still the socket alone tells. */
function ofPrices({ stale, as_of: since } = {}) {
  if (!stale) return [];
  return [{
    code: "prices_stale", key: "prices", tone: "warn", subject: "Prices stand still", since, amount: null, quantity: null, href: "/status", happened: false,
    words: "Markets are open, and neither a stream nor an answer tells what things cost.",
    meaning: "Values, profits and limits are those of the last prices known.",
    remedy: { label: "See the brokers", method: "link", href: "/status", body: null },
  }];
}

const away = () => new Set(JSON.parse(remembered(PUT_AWAY) ?? "[]"));

function putAway(key) {
  const kept = [...away()].slice(-50);
  remember(PUT_AWAY, JSON.stringify([...kept, key]));
}

function shownItems() {
  const gone = away();
  const listed = [...(state.items ?? []), ...ofPrices(state.prices ?? {})];
  return listed
    .filter(({ key, happened }) => !state.done.has(key) && !(happened && gone.has(key)))
    .sort((one, other) => PLACES.indexOf(one.tone) - PLACES.indexOf(other.tone));
}

function show(on, soon) {
  const items = shownItems();
  const seen = state.isWhole ? items : items.slice(0, AT_FIRST);
  const list = byId("attention-items");
  keyed(list, seen, ({ key }) => key, "attention-template", (fields, item, node) => fill(fields, item, node, on, soon));
  inOrder(list, seen.map(({ key }) => key));
  const more = byId("attention-more");
  more.hidden = items.length <= AT_FIRST;
  more.setAttribute("aria-expanded", String(state.isWhole));
  say(more, state.isWhole ? "Show the gravest alone" : `Show all ${items.length}`);
  tellState(items);
}

function tellState(items) {
  const isUnknown = state.items === null;
  byId("attention").dataset.state = state.error ? "error" : isUnknown ? "loading" : items.length ? "some" : "none";
  const none = byId("attention-none");
  none.hidden = items.length > 0 && !state.error;
  const told = isUnknown ? "It is not known what needs you." : "This list is not renewed.";
  if (state.error) say(none, `${told} ${state.error} It is asked again each minute.`);
  else say(none, isUnknown ? "Looking for what needs you…" : "Nothing needs you.");
  const pressing = items.filter(({ tone }) => tone !== "info").length;
  const chip = byId("attention-count");
  chip.hidden = pressing === 0;
  chip.className = `chip ${items.some(({ tone }) => tone === "bad") ? "bad" : "warn"}`;
  say(chip, String(pressing));
  chip.title = counted(pressing, "thing needs you", "things need you");
  document.title = pressing ? `(${pressing}) ${title}` : title;
  say(byId("attention-age"), state.error && state.at !== null ? `of ${istTime(state.at)} IST` : "");
}

function fill(fields, item, node, on, soon) {
  node.dataset.code = item.code;
  node.dataset.tone = item.tone;
  say(fields.gravity, GRAVITY[item.tone]);
  say(fields.subject, item.subject);
  fields.subject.href = item.href;
  say(fields.words, item.words);
  say(fields.meaning, item.meaning);
  fields.quantity.hidden = !item.quantity;
  say(fields.quantity, item.quantity ?? "");
  fields.amount.hidden = item.amount === null;
  if (item.amount !== null) put(fields.amount, item.amount, rupees);
  fields.age.dataset.since = item.since ?? "";
  tellAge(fields.age);
  const { label, method, href } = item.remedy;
  fields.link.hidden = method !== "link";
  fields.act.hidden = method === "link";
  const shown = method === "link" ? fields.link : fields.act;
  say(shown, label);
  shown.setAttribute("aria-label", `${label}: ${item.subject}`);
  fields.link.href = href;
  fields.act.onclick = () => act(item, fields, on, soon);
  fields.away.hidden = !item.happened;
  fields.away.onclick = () => {
    putAway(item.key);
    show(on, soon);
  };
  const trouble = state.troubles.get(item.key) ?? "";
  fields.trouble.hidden = !trouble;
  say(fields.trouble, trouble);
}

/** One press. What was done leaves the list at once, and comes back if it did not help. */
async function act(item, fields, on, soon) {
  const { method, href, body } = item.remedy;
  fields.act.disabled = true;
  state.troubles.delete(item.key);
  try {
    if (method === "login") await on.login(body);
    else if (method === "ask") await on.ask(href.split("/").at(-1));
    else {
      await call("POST", href.replace("/api/v1/", ""), body);
      state.done.add(item.key);
      announce(`${item.remedy.label}: done.`);
      soon();
    }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    state.troubles.set(item.key, error.message);
    if (error.code === "not_found") soon();
  } finally {
    fields.act.disabled = false;
  }
  show(on, soon);
}

function tellAge(node) {
  const { since } = node.dataset;
  say(node, since ? `· ${duration((Date.now() - Date.parse(since)) / 1000)}` : "");
  node.title = since ? `since ${istTime(since)} IST` : "";
}

function renderAges() {
  for (const node of byId("attention-items").querySelectorAll("[data-field=age]")) tellAge(node);
}
