// One card per connection: may its numbers be trusted, may it be traded at, and what does it need?

import { answerTime } from "./answer_times.js";
import { announce, keyed, lines, put, say } from "./dom.js";
import { duration, istTime, sentence, shortRupees, signedShortRupees } from "./format.js";
import { inOrder } from "./in_order.js";
import { close } from "./popup.js";

export const STATUSES = {
  CONNECTED: { word: "Connected", tone: "good" },
  RATE_LIMITED: { word: "Rate limited", tone: "warn" },
  MAINTENANCE: { word: "In maintenance", tone: "warn" },
  TOKEN_EXPIRED: { word: "Login needed", tone: "bad", login: "Log in", urgent: true },
  ERROR: { word: "Failing", tone: "bad", login: "Repair" },
  SUSPENDED: { word: "Blocked by the broker", short: "Blocked", tone: "bad", login: "Repair" },
  DISCONNECTED: { word: "Disconnected", tone: "off", login: "Connect again" },
};

// What the lights say: of reading the account, of orders at the broker, and of its price feed.
const LIGHTS = {
  data: { YES: "readable", NO: "not readable", UNKNOWN: "not known" },
  trade: { YES: "cleared", NO: "stopped", OFF: "off", UNKNOWN: "not known" },
};
const SEGMENTS = { EQUITY: "shares", FNO: "F&O", CURRENCY: "currency", COMMODITY: "commodities" };
const FEEDS = {
  LIVE: { word: "streaming", state: "YES" },
  CONNECTING: { word: "feed connecting", state: "UNKNOWN" },
  STALLED: { word: "feed stalled", state: "UNKNOWN" },
  DOWN: { word: "feed down", state: "NO" },
  OVER: { word: "feed ended", state: "NO" },
};
const SOON_SECONDS = 3600;
const LONG_SECONDS = 36_000; // of more hours nobody reads the minutes; the tooltip has the very moment

export const isActive = ({ status }) => status !== "DISCONNECTED";
export const nameOf = ({ display_name, broker_name, account_id }) => display_name || `${broker_name} ${account_id}`;
const spoken = new Map();
// What a card shows of its connection's row, and since when: written anew only where the row is another one.
const shownOf = new WeakMap();

/** `on` holds what the buttons do: login(connection), rename(connection), trading(connection),
 * disconnect(connection). `lag` is the age in s of `portfolio`; `prices` is how the brokers' price feeds are, or null.
 * Called each second too: nothing is written that stands already. */
export function renderConnections(connections, portfolio, lag, on, prices = null) {
  const shown = [...connections.filter(isActive), ...connections.filter((connection) => !isActive(connection))];
  const parent = document.getElementById("brokers");
  keyed(parent, shown, ({ id }) => id, "broker-template", (slots, connection, node) => {
    const source = portfolio?.sources.find(({ connection_id }) => connection_id === connection.id);
    if (shownOf.get(node)?.connection !== connection) {
      shownOf.set(node, { connection, endsAt: connection.token_expires_at && istTime(connection.token_expires_at) });
      fillFixed(slots, connection, node, parent.dataset.health);
      wire(slots, connection, on);
    }
    fillMoving(slots, connection, source, portfolio);
    fillStanding(slots, connection, source, lag, node);
    fillSession(slots, connection, shownOf.get(node).endsAt);
    renderFeed(slots, connection, prices?.brokers.find(({ broker_type }) => broker_type === connection.broker_type), node);
  });
  inOrder(parent, shown.map(({ id }) => String(id)));
}

function wire(slots, connection, on) {
  slots.login.onclick = () => on.login(connection);
  for (const name of ["rename", "trading", "disconnect"]) {
    slots[name].onclick = () => {
      close(slots.more);
      on[name](connection);
    };
  }
}

function fillFixed(slots, connection, node, health) {
  const { word, login, urgent = false } = STATUSES[connection.status];
  const { broker_name, account_id, broker_type, status, trading_enabled_at } = connection;
  const named = nameOf(connection);
  Object.assign(node.dataset, { broker: broker_type, status });
  say(slots.name, named === `${broker_name} ${account_id}` ? broker_name : named);
  slots.name.title = `${broker_name} ${account_id}: how well it answers`;
  if (health) slots.name.href = health.replace("_slug_", broker_type);
  say(slots.account, named === `${broker_name} ${account_id}` ? account_id : `${broker_name} ${account_id}`);
  slots.more_label.setAttribute("aria-label", `More for ${named}`);
  slots.more.hidden = slots.lights.hidden = !isActive(connection);
  slots.rename.setAttribute("aria-label", `Rename ${named}, or enter its registered address`);
  say(slots.trading, trading_enabled_at ? "Turn trading off" : "Turn trading on…");
  light(slots, "trade", tradeState(connection.clearance.trade), LIGHTS.trade, aboutOrders(connection));
  slots.login.hidden = !login;
  say(slots.login, login ?? "");
  if (login) slots.login.setAttribute("aria-label", `${login}: ${named}`);
  slots.login.classList.toggle("primary", urgent);
  tellOnce(connection, word);
}

function fillMoving(slots, connection, source, portfolio) {
  const mine = ({ connection_id }) => connection_id === connection.id;
  const part = portfolio?.broker_breakdown.find(mine);
  const unknown = source?.state === "MISSING" ? "not known: it is not in the totals" : "not known";
  put(slots.value, part?.total_value, shortRupees, { unknown });
  put(slots.day, part?.day_pnl, signedShortRupees, { tone: true, unknown });
  const funds = portfolio?.funds.brokers.find(mine);
  put(slots.available, funds?.available, shortRupees, { unknown });
  const isOld = Boolean(funds?.stale && funds.as_of && funds.available !== null);
  const words = isOld ? `Its margin is of ${istTime(funds.as_of)}: it was not told since.` : null;
  if (slots.available.classList.contains("old") !== isOld) slots.available.classList.toggle("old", isOld);
  if (words || slots.available.dataset.value !== undefined) attribute(slots.available, "title", words);
  const { ms, why } = answerTime(connection.id);
  put(slots.p95, ms, (text) => `${text} ms`, { unknown: why });
}

/** How it stands. What a failure means for the money, and why it fails, is told on the card as far as there is room (the
 * money first), and whole where it is opened. That a connected account's answer is a little old is one word, its why
 * stands behind the light. */
function fillStanding(slots, connection, source, lag, node) {
  const { word, short = word, tone } = STATUSES[connection.status];
  const told = isActive(connection) ? reasons(connection, source, lag) : [];
  const isOld = connection.status === "CONNECTED" && source?.state === "STALE";
  const isCalm = isOld || told.length === 0;
  say(slots.status, isOld ? `${duration(source.age_seconds + lag)} old` : short);
  const shade = isOld || (tone === "good" && !isCalm) ? "warn" : tone;
  if (node.dataset.tone !== shade) node.dataset.tone = shade;
  hide(slots.why, isCalm);
  if (!isCalm) {
    const means = meaning(source, lag);
    say(slots.reason, [means, ...told.filter((each) => each !== means)].slice(0, 2).filter(Boolean).join(" "));
    lines(slots.reasons, told);
  }
  const { data } = connection.clearance;
  light(slots, "data", data.state, LIGHTS.data, [...sentences(data), ...told, heardAt(connection, source, node)]);
  attribute(slots.standing, "title", heard(source, lag));
}

function reasons(connection, source, lag) {
  const failing = connection.status !== "CONNECTED" || source?.error_code || (source && source.state !== "LIVE");
  if (!failing) return [];
  const words = source?.error_message || connection.error_message;
  return [words && sentence(words), meaning(source, lag), source?.user_action].filter(Boolean);
}

function meaning(source, lag) {
  if (source?.state === "MISSING") return "It is left out of the totals.";
  if (source?.state !== "STALE") return null;
  return `Its last good answer, ${duration(source.age_seconds + lag)} old, stays in the totals.`;
}

/** How its price feed is; nothing where it has none, or none is listened to. */
function renderFeed(slots, connection, feed, node) {
  hide(slots.feed, !isActive(connection) || !feed);
  if (slots.feed.hidden) return;
  const { word, state } = FEEDS[feed.state] ?? FEEDS.DOWN;
  const shown = shownOf.get(node);
  if (shown.feed !== feed) Object.assign(shown, { feed, since: istTime(feed.since) });
  light(slots, "feed", state, { [state]: word }, [`So since ${shown.since}: prices come from whichever broker streams.`]);
}

/** The owner's own switch is no fault: an account at which trading is merely off is not stopped by anything. What could
 * not be established stops nothing either. */
function tradeState({ state, reasons: given }) {
  const stops = given.filter(({ code }) => code !== "trading_off" && !code.endsWith("_unknown"));
  const isOff = given.some(({ code }) => code === "trading_off");
  return state === "NO" && isOff && stops.length === 0 ? "OFF" : state;
}

/** One light: a mark and a word, never colour alone, and what lies behind it as a list to open. */
function light(slots, name, state, words, why) {
  if (slots[name].dataset.state !== state) slots[name].dataset.state = state;
  attribute(slots[name], "title", [words[state], ...why].join("\n"));
  say(slots[`${name}_word`], words[state]);
  lines(slots[`${name}_why`], why);
}

function hide(node, isHidden) {
  if (node.hidden !== isHidden) node.hidden = isHidden;
}

function attribute(node, name, text) {
  if (node.getAttribute(name) === text) return;
  if (text === null) node.removeAttribute(name);
  else node.setAttribute(name, text);
}

const sentences = ({ reasons: given }) => given.map(({ words, remedy }) => `${words} ${remedy}`);

function aboutOrders({ broker_name, trading_enabled_at, clearance: { trade, sell_holdings, segments } }) {
  const stopped = new Set(sentences(trade));
  const alsoForSales = sentences(sell_holdings).filter((each) => !stopped.has(each));
  const named = (answer) => Object.keys(segments).filter((segment) => segments[segment] === answer).map((segment) => SEGMENTS[segment]);
  return [
    ...(stopped.size ? stopped : [`Nothing is known that would stop an order at ${broker_name}.`]),
    ...alsoForSales.map((each) => `To sell shares you hold: ${each}`),
    ...(named("YES").length ? [`Enabled: ${named("YES").join(", ")}.`] : []),
    ...(named("NO").length ? [`Not enabled: ${named("NO").join(", ")}.`] : []),
    trading_enabled_at ? `Trading is on since ${istTime(trading_enabled_at)}.` : "Trading is off: no order is placed here.",
  ];
}

function heard(source, lag) {
  return source?.as_of ? `Answered ${duration(source.age_seconds + lag)} ago` : "No answer is in the totals";
}

/** When it answered last: reckoned once for each answer. */
function heardAt({ last_successful_call }, source, node) {
  const shown = shownOf.get(node);
  const at = source?.as_of ?? last_successful_call ?? null;
  if (shown.answeredAt !== at) Object.assign(shown, { answeredAt: at, words: at ? `Its last answer is of ${istTime(at)}.` : "It has not answered yet." });
  return shown.words ?? "It has not answered yet.";
}

/** What is left of the session: in other words, and not in another colour alone, when it ends within the hour. */
function fillSession(slots, { status, token_expires_at }, endsAt) {
  const isAsked = STATUSES[status].login !== undefined;
  hide(slots.session, isAsked);
  if (isAsked) return;
  const left = token_expires_at ? (Date.parse(token_expires_at) - Date.now()) / 1000 : null;
  const isSoon = left !== null && left <= SOON_SECONDS;
  say(slots.session, left === null ? "—" : left <= 0 ? "session over" : isSoon ? `only ${duration(left)}` : left >= LONG_SECONDS ? `${Math.floor(left / 3600)} h` : duration(left));
  attribute(slots.session, "title", left === null ? "When its session ends is not known" : `Its session ends at ${endsAt}: then it needs a login, or is renewed`);
  if (slots.session.classList.contains("soon") !== isSoon) slots.session.classList.toggle("soon", isSoon);
}

function tellOnce(connection, word) {
  const { id, status } = connection;
  if (spoken.has(id) && spoken.get(id) !== status) announce(`${nameOf(connection)}: ${word}.`);
  spoken.set(id, status);
}
