// One card per connection: may its numbers be trusted, and what does it need?

import { announce, keyed, lines, put, say } from "./dom.js";
import { duration, istTime, rupees, signedRupees } from "./format.js";

export const STATUSES = {
  CONNECTED: { word: "Connected", tone: "good" },
  RATE_LIMITED: { word: "Rate limited", tone: "warn" },
  MAINTENANCE: { word: "In maintenance", tone: "warn" },
  TOKEN_EXPIRED: { word: "Login needed", tone: "bad", login: "Log in", urgent: true },
  ERROR: { word: "Failing", tone: "bad", login: "Repair" },
  SUSPENDED: { word: "Blocked by the broker", tone: "bad", login: "Repair" },
  DISCONNECTED: { word: "Disconnected", tone: "off", login: "Connect again" },
};

// What the two lights say: of reading the account, and of orders at the broker.
const LIGHTS = {
  data: { YES: "readable", NO: "not readable", UNKNOWN: "not known" },
  trade: { YES: "cleared", NO: "stopped", OFF: "off", UNKNOWN: "not known" },
};
const SEGMENTS = { EQUITY: "shares", FNO: "F&O", CURRENCY: "currency", COMMODITY: "commodities" };

const FEEDS = {
  LIVE: { word: "streaming", tone: "good" },
  CONNECTING: { word: "feed connecting", tone: "plain" },
  STALLED: { word: "feed stalled", tone: "warn" },
  DOWN: { word: "feed down", tone: "warn" },
  OVER: { word: "feed ended", tone: "bad" },
};

export const isActive = ({ status }) => status !== "DISCONNECTED";
export const nameOf = ({ display_name, broker_name, account_id }) => display_name || `${broker_name} ${account_id}`;
const spoken = new Map();

/** `on` holds what the buttons do: login(connection), rename(connection), trading(connection),
 * disconnect(connection). `lag` is the age in s of `portfolio`;
 * `prices` is how the brokers' price feeds are, or null. */
export function renderConnections(connections, portfolio, lag, on, prices = null) {
  const shown = [...connections.filter(isActive), ...connections.filter((connection) => !isActive(connection))];
  const parent = document.getElementById("brokers");
  keyed(parent, shown, ({ id }) => id, "broker-template", (slots, connection, node) => {
    const source = portfolio?.sources.find(({ connection_id }) => connection_id === connection.id);
    fill(slots, connection, source, portfolio, lag);
    renderFeed(slots.feed, connection, prices?.brokers.find(({ broker_type }) => broker_type === connection.broker_type));
    Object.assign(node.dataset, { broker: connection.broker_type, status: connection.status });
    node.dataset.tone = STATUSES[connection.status].tone;
    slots.login.onclick = () => on.login(connection);
    slots.rename.onclick = () => on.rename(connection);
    slots.trading.onclick = () => on.trading(connection);
    slots.disconnect.onclick = () => on.disconnect(connection);
  });
}

function fill(slots, connection, source, portfolio, lag) {
  const { word, login, urgent = false } = STATUSES[connection.status];
  const part = portfolio?.broker_breakdown.find(({ connection_id }) => connection_id === connection.id);
  const funds = portfolio?.funds.brokers.find(({ connection_id }) => connection_id === connection.id);
  const { broker_name, account_id } = connection;
  const named = nameOf(connection);
  say(slots.name, named === `${broker_name} ${account_id}` ? broker_name : named);
  slots.name.title = named;
  say(slots.account, account_id);
  slots.rename.setAttribute("aria-label", `Rename ${named}, or enter its registered address`);
  say(slots.status, word);
  put(slots.value, part?.total_value, rupees);
  put(slots.day, part?.day_change, signedRupees, { tone: true });
  put(slots.available, funds?.available, rupees);
  slots.lights.hidden = !isActive(connection);
  light(slots, "data", connection.clearance.data, sentences(connection.clearance.data));
  light(slots, "trade", tradeLight(connection.clearance.trade), aboutOrders(connection));
  const reason = isActive(connection) ? reasons(connection, source) : "Its tokens are wiped; its history is kept.";
  say(slots.reason, reason);
  slots.reason.hidden = !reason;
  say(slots.heard, heard(connection, source, lag));
  say(slots.session, session(connection));
  slots.login.hidden = !login;
  say(slots.login, login ?? "");
  slots.login.classList.toggle("primary", urgent);
  slots.trading.hidden = slots.disconnect.hidden = !isActive(connection);
  say(slots.trading, connection.trading_enabled_at ? "Turn trading off" : "Turn trading on");
  tellOnce(connection, word);
}

/** How the broker's price feed is; nothing where it has none, or none is listened to. */
function renderFeed(node, connection, feed) {
  node.hidden = !isActive(connection) || !feed;
  if (node.hidden) return;
  const { word, tone } = FEEDS[feed.state] ?? FEEDS.DOWN;
  node.className = `chip ${tone}`;
  node.title = `Its price feed, since ${istTime(feed.since)}`;
  say(node, word);
}

function reasons(connection, source) {
  const words = [];
  const failing = connection.status !== "CONNECTED" || source?.error_code;
  if (failing) words.push(source?.error_message || connection.error_message, source?.user_action);
  if (source?.state === "MISSING") words.push("It is left out of the totals.");
  return words.filter(Boolean).join(" ");
}

/** The owner's own switch is no fault: an account at which trading is merely off is not stopped by anything. What could
 * not be established stops nothing either. */
function tradeLight({ state, reasons }) {
  const stops = reasons.filter(({ code }) => code !== "trading_off" && !code.endsWith("_unknown"));
  const isOff = reasons.some(({ code }) => code === "trading_off");
  return { state: state === "NO" && isOff && stops.length === 0 ? "OFF" : state };
}

/** One light: a mark and a word, never colour alone, and what lies behind it as a list to open. */
function light(slots, name, { state }, why) {
  const told = why.length ? why : ["The account can be read."];
  slots[name].dataset.state = state;
  slots[name].title = told.join("\n");
  say(slots[`${name}_word`], LIGHTS[name][state]);
  lines(slots[`${name}_why`], told);
}

const sentences = ({ reasons }) => reasons.map(({ words, remedy }) => `${words} ${remedy}`);

function aboutOrders({ broker_name, trading_enabled_at, clearance: { trade, sell_holdings, segments } }) {
  const stopped = new Set(sentences(trade));
  const alsoForSales = sentences(sell_holdings).filter((sentence) => !stopped.has(sentence));
  const named = (answer) => Object.keys(segments).filter((segment) => segments[segment] === answer).map((segment) => SEGMENTS[segment]);
  return [
    ...(stopped.size ? stopped : [`Nothing is known that would stop an order at ${broker_name}.`]),
    ...alsoForSales.map((sentence) => `To sell shares you hold: ${sentence}`),
    ...(named("YES").length ? [`Enabled: ${named("YES").join(", ")}.`] : []),
    ...(named("NO").length ? [`Not enabled: ${named("NO").join(", ")}.`] : []),
    trading_enabled_at ? `Trading is on since ${istTime(trading_enabled_at)}.` : "Trading is off: no order is placed here.",
  ];
}

function heard(connection, source, lag) {
  if (source?.state === "LIVE") return `Answered ${duration(source.age_seconds + lag)} ago`;
  if (source?.state === "STALE") return `From ${istTime(source.as_of)}, ${duration(source.age_seconds + lag)} old`;
  return connection.last_successful_call ? `Last answer ${istTime(connection.last_successful_call)}` : "No answer yet";
}

function session({ status, token_expires_at }) {
  if (!token_expires_at || status === "DISCONNECTED" || status === "TOKEN_EXPIRED") return "";
  const left = (Date.parse(token_expires_at) - Date.now()) / 1000;
  return left > 0 ? `Session ${duration(left)} left` : `Session ended ${istTime(token_expires_at)}`;
}

function tellOnce({ id, status, broker_name }, word) {
  if (spoken.has(id) && spoken.get(id) !== status) announce(`${broker_name}: ${word}.`);
  spoken.set(id, status);
}
