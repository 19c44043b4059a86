// The morning's logins: the server says who needs one and in what order; here time passes and buttons are pressed.

import { ApiError, call, logInAt, withFields } from "./api.js";
import { STATUSES, nameOf } from "./connections.js";
import { announce, keyed, say, slots } from "./dom.js";
import { duration, istTime } from "./format.js";
import { listen } from "./socket.js";

// Without any news the queue is read again this often: a login may have become due by the clock alone.
const REREAD_SECONDS = 60;
const OVER_SECONDS = 5;
const byId = (id) => document.getElementById(id);
const title = document.title;
const TROUBLE = { MAINTENANCE: "The broker is closed for maintenance.", ERROR: "The broker answers nobody at the moment." };
let queue = null;
let readAt = 0; // on this page's clock
let askedAt = 0;
let reading = null;
let focused = false;

const minute = (instant) => istTime(instant).slice(0, -3);
const passed = () => (Date.now() - readAt) / 1000;
const needs = ({ needs_login }) => needs_login !== "no";
const secondsLeft = ({ seconds_left }) => (seconds_left === null ? null : seconds_left - passed());

/** Read the queue; what is asked for while one answer is under way is asked for once more after it. */
function reread() {
  askedAt = Date.now();
  if (reading) return (reading.again = true);
  reading = { again: false };
  return readQueue().finally(() => {
    const { again } = reading;
    reading = null;
    if (again) reread();
  });
}

async function readQueue() {
  const before = queue;
  try {
    queue = await call("GET", "brokers/logins");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    ifSignedOut(error);
    if (!before) tell(byId("trouble"), error);
    return;
  }
  readAt = Date.now();
  render();
  if (before) tellDone(before);
}

function tellDone(before) {
  const waited = new Set(before.entries.filter(needs).map(({ connection_id }) => connection_id));
  const done = queue.entries.filter((entry) => !needs(entry) && waited.has(entry.connection_id));
  if (done.length) announce(`${done.map(nameOf).join(", ")}: done. ${headline()}`);
  // Done elsewhere: the button that has the focus would now log in once more.
  const held = document.activeElement?.closest(".login")?.dataset.key;
  if (done.some(({ connection_id }) => connection_id === held)) focusNext();
}

// --- the screen ------------------------------------------------------------------------------------------------------
function headline() {
  const { now, today, total } = queue.counts;
  const allWell = total > 1 && queue.entries.every(({ status }) => status === "CONNECTED");
  if (now + today === 0) return allWell ? `All ${total} are good: nothing needs you` : "Nothing needs you";
  return `${now + today} of ${total} ${now + today === 1 ? "needs" : "need"} you`;
}

function sessionWords() {
  const { next_session_at: next, trading_ends_at: ends, trading_day: known } = queue;
  if (known === null) return "Whether the exchanges trade today is not known here: this year’s holidays are missing.";
  if (ends && next && next < ends) return `Today’s trading is from ${minute(next)} to ${minute(ends)} IST.`;
  const begins = next && `${ends ? "It begins again" : "Trading begins"} ${minute(next)} IST.`;
  return [ends && `Today’s trading ends ${minute(ends)} IST.`, begins].filter(Boolean).join(" ");
}

function render() {
  byId("main").dataset.view = queue.counts.total ? "live" : "empty";
  const waiting = queue.entries.filter(needs);
  document.title = waiting.length ? `(${waiting.length}) ${title}` : title;
  say(byId("needing"), headline());
  byId("onward").hidden = waiting.length > 0;
  const next = waiting.find(({ login }) => login.ready) ?? null;
  keyed(byId("queue"), queue.entries, ({ connection_id }) => connection_id, "login-template", (fields, entry, node) => {
    fill(fields, entry, node, entry === next);
  });
  inOrder();
  tick();
  if (!focused) focusNext();
}

function fill(fields, entry, node, isNext) {
  const { broker_name, account_id, status, login, broker_trouble } = entry;
  const named = nameOf(entry);
  const own = named === `${broker_name} ${account_id}`;
  Object.assign(node.dataset, { need: entry.needs_login, broker: entry.broker_type, status, account: account_id });
  node.classList.toggle("next", isNext);
  node.dataset.tone = needs(entry) ? (entry.needs_login === "now" ? "bad" : "warn") : STATUSES[status].tone;
  say(fields.name, own ? broker_name : named);
  say(fields.account, own ? account_id : `${broker_name} ${account_id}`);
  say(fields.why, entry.why.message);
  say(fields.hint, hint(entry));
  fields.hint.hidden = !fields.hint.textContent;
  fields.keys.hidden = login.ready || !needs(entry);
  fields.keys.href = fields.name.href = `/connect/${entry.broker_type}`;
  fields.login.hidden = !login.ready;
  fields.login.className = isNext ? "primary" : needs(entry) ? "" : "plain";
  say(fields.login, needs(entry) ? "Log in" : "Log in again");
  fields.login.setAttribute("aria-label", `${fields.login.textContent}: ${named}${broker_trouble ? `. ${TROUBLE[broker_trouble]}` : ""}`);
  fields.login.onclick = () => logIn(entry, fields.login);
}

function hint({ login_after, broker_trouble, login }) {
  const early = login_after && `A session begun before ${minute(login_after)} IST ends then: better log in after it.`;
  const keys = !login.ready && "Its API keys are not stored.";
  return [TROUBLE[broker_trouble], keys, early].filter(Boolean).join(" ");
}

/** Nodes are made once; the order changes under them. Whoever has the focus keeps it. */
function inOrder() {
  const list = byId("queue");
  const wanted = queue.entries.map(({ connection_id }) => list.querySelector(`[data-key="${connection_id}"]`));
  if (wanted.every((node, place) => list.children[place] === node)) return;
  const held = document.activeElement;
  list.append(...wanted);
  if (list.contains(held)) held.focus();
}

/** Enter is then all that the next login takes. */
function focusNext() {
  focused = true;
  (document.querySelector(".login.next button") ?? byId("onward")).focus({ preventScroll: true });
}

/** What changes by the passing of time alone. */
function tick() {
  if (!queue) return;
  const session = byId("session");
  if (!("simulated" in session.dataset)) say(session, sessionWords());
  for (const entry of queue.entries) {
    const node = byId("queue").querySelector(`[data-key="${entry.connection_id}"]`);
    say(slots(node).left, leftWords(entry));
  }
  const isOver = queue.entries.some((entry) => secondsLeft(entry) !== null && secondsLeft(entry) < 0);
  if (Date.now() - askedAt > 1000 * (isOver ? OVER_SECONDS : REREAD_SECONDS)) reread();
}

function leftWords(entry) {
  const left = secondsLeft(entry);
  if (left === null) return "";
  if (left <= 0) return "ended";
  return `${duration(left)} left, until ${minute(entry.expires_at)}`;
}

// --- buttons ---------------------------------------------------------------------------------------------------------
async function attempt(work, place = byId("trouble")) {
  place.hidden = true;
  try {
    await work();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    ifSignedOut(error);
    tell(place, error);
  }
}

function tell(place, error) {
  place.textContent = withFields(error);
  place.hidden = false;
}

function ifSignedOut({ code }) {
  if (code === "not_authenticated") location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
}

async function logIn({ broker_type, connection_id }, button) {
  button.disabled = true;
  await attempt(() => logInAt(broker_type, undefined, { return_to: "logins", connection_id }));
  button.disabled = false;
}

// --- the reminder ----------------------------------------------------------------------------------------------------
const form = byId("reminder");
const reminder = slots(form);

function showReminder({ by_email, email, webhook_url, last_sent_on, last_error, webhook_secret = null }) {
  reminder.by_email.checked = by_email;
  reminder.by_email.disabled = !email && !by_email;
  say(reminder.by_email_label, email ? `By e-mail to ${email}` : "By e-mail: your account has no address");
  reminder.webhook_url.value = webhook_url;
  reminder.rotate.hidden = !webhook_url;
  const sent = last_sent_on && `Last sent on ${last_sent_on}.`;
  const failed = last_error && `The last attempt failed: ${last_error}.`;
  say(reminder.state, [sent, failed].filter(Boolean).join(" "));
  say(reminder.secret, webhook_secret ?? "");
  reminder.secret_part.hidden = webhook_secret === null;
}

const save = (rotate_secret) => attempt(async () => {
  const { by_email, webhook_url } = reminder;
  showReminder(await call("PUT", "brokers/logins/reminder", { by_email: by_email.checked, webhook_url: webhook_url.value.trim(), rotate_secret }));
  announce("The reminder is saved.");
}, reminder.trouble);

form.addEventListener("submit", (event) => {
  event.preventDefault();
  save(false);
});
reminder.rotate.addEventListener("click", () => save(true));
reminder.copy.addEventListener("click", async () => {
  await navigator.clipboard.writeText(reminder.secret.textContent);
  announce("The secret is copied.");
});

// --- life ------------------------------------------------------------------------------------------------------------
listen("/ws/portfolio/", {
  onRefused: reread,
  // A push is a hint, and so is a new line after a lost one: the truth is read.
  onMessage({ type }) {
    if (type === "BROKER_STATUS_UPDATE" || type === "SNAPSHOT") reread();
  },
  onState(line) {
    byId("offline").hidden = line !== "lost";
  },
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) reread();
});
setInterval(tick, 1000);
await Promise.all([
  reread(),
  attempt(async () => showReminder(await call("GET", "brokers/logins/reminder")), reminder.trouble),
]);
