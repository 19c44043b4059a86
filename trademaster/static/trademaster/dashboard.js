// The dashboard: what the socket says goes into `book`, and `book` goes onto the screen.

import { watchAnswerTimes } from "./answer_times.js";
import { ApiError, call, logInAt } from "./api.js";
import { renderAside } from "./aside.js";
import { watchAttention } from "./attention.js";
import { renderBook } from "./book.js";
import { isActive, nameOf, renderConnections } from "./connections.js";
import { applyDelta } from "./delta.js";
import { announce, say, slots } from "./dom.js";
import { counted, duration, istTime } from "./format.js";
import { renderNumbers } from "./numbers.js";
import { noted } from "./series.js";
import { listen } from "./socket.js";
import { stripAgain, subscribeIndices, takePrices } from "./strip.js";

const QUIET_SECONDS = 30;
const GONE = { code: "not_found", message: "This account is connected no more.", remedy: "Nothing is to be entered for it; the list is read again." };
// `epoch` and `number` are the live host's, null where none serves us; `prices` is the state of the feeds behind the book.
const book = {
  portfolio: null, error: null, connections: null, receivedAt: null, heardAt: null, line: "connecting",
  epoch: null, number: null, isAsking: false, series: null, prices: null,
};
const byId = (id) => document.getElementById(id);
const lag = () => (book.receivedAt === null ? 0 : (Date.now() - book.receivedAt) / 1000);

// A live host tells nothing while nothing moves: then a sign of life is enough.
const quietSince = () => (book.epoch === null ? book.receivedAt : book.heardAt);
const isLive = () => book.line === "open" && (Date.now() - (quietSince() ?? Date.now())) / 1000 <= QUIET_SECONDS;

const handlers = {
  SNAPSHOT({ portfolio, error, connections, book: epoch = null, number = null, series = null, price_state: prices = null }) {
    if (portfolio) takePortfolio(portfolio);
    Object.assign(book, { error, connections, epoch, number, isAsking: false, series, prices });
    subscribeIndices(tell);
  },
  PORTFOLIO_UPDATE(portfolio) {
    takePortfolio(portfolio);
    Object.assign(book, { epoch: null, number: null, series: null, prices: null });
  },
  PORTFOLIO_DELTA({ book: epoch, number, delta }) {
    if (book.isAsking || epoch !== book.epoch || number !== book.number + 1) {
      if (!book.isAsking) tell({ type: "snapshot" });
      book.isAsking = true;
      return;
    }
    takePortfolio(applyDelta(book.portfolio, delta));
    book.number = number;
    if (book.series) book.series = noted(book.series, delta.last_updated, delta.total_value);
  },
  PRICE_STATE(prices) {
    book.prices = prices;
  },
  BROKER_STATUS_UPDATE({ connection_id, ...news }) {
    // Another object, as a card is written anew for another row alone.
    book.connections = book.connections?.map((row) => (row.id === connection_id ? { ...row, ...news } : row)) ?? null;
    // The push is a hint; session ends and names are in the list.
    readAgain();
  },
  TRADING_HALT: stripAgain, // more than one may stand: what stands is with the strip
  PRICES: takePrices,
  ORDER_UPDATE() {
    document.dispatchEvent(new CustomEvent("orders-changed"));
  },
  HEARTBEAT() {},
};

function takePortfolio(portfolio) {
  Object.assign(book, { portfolio, error: null, receivedAt: Date.now() });
}

/** The accounts are being read for the first time: that is no portfolio yet, and nothing is missing from it. */
const isUnread = ({ sources }) => sources.length > 0 && sources.every(({ state, error_code: code }) => state === "MISSING" && code === null);
const portfolio = () => (book.portfolio && !isUnread(book.portfolio) ? book.portfolio : null);

function view() {
  if (book.connections && !book.connections.some(isActive)) return "empty";
  if (portfolio()) return "live";
  return book.error ? "error" : "loading";
}

function render() {
  const shown = view();
  byId("main").dataset.view = shown;
  if (shown === "error") say(byId("error-words"), [book.error.message, book.error.remedy].filter(Boolean).join(" "));
  if (shown === "live") {
    renderBook(book.portfolio);
  }
  const ended = book.connections?.filter(({ status }) => status === "TOKEN_EXPIRED").length ?? 0;
  byId("logins").hidden = ended === 0;
  say(slots(byId("logins")).words, `${counted(ended, "broker needs", "brokers need")} a login.`);
  tick();
}

/** What changes by the passing of time alone. */
function tick() {
  if (view() === "live") {
    renderNumbers(book.portfolio, lag(), isLive(), book.prices);
    renderAside(book, lag(), isLive());
  }
  if (book.connections) renderConnections(book.connections, portfolio(), lag(), actions, book.prices);
  tellOfPrices();
  attention.prices(book.prices);
  attention.tick();
  const light = byId("socket-light");
  const quiet = book.line === "open" && view() === "live" && !isLive();
  byId("main").dataset.line = light.dataset.state = quiet ? "quiet" : book.line;
  say(slots(light).words, lightWords(quiet));
  const from = book.portfolio ? ` The numbers are from ${istTime(book.receivedAt)}.` : "";
  if (book.line === "lost") say(byId("offline"), `The connection to TradeMaster is lost; reconnecting…${from}`);
  byId("offline").hidden = book.line !== "lost";
}

function lightWords(quiet) {
  if (book.line === "lost") return "Reconnecting";
  if (view() !== "live") return book.line === "open" ? "Live" : "Connecting";
  return `${quiet ? "Quiet" : "Live"} · ${duration(lag())}`;
}

/** Whether the prices stream: in words, and never by colour alone. */
function tellOfPrices() {
  const light = byId("price-light");
  // With the line lost nobody tells of them.
  light.hidden = book.prices === null || book.line !== "open";
  if (light.hidden) return;
  const { stale, asked, as_of } = book.prices;
  light.dataset.state = stale ? "lost" : asked ? "quiet" : "open";
  say(slots(light).words, stale ? "Prices stale" : asked ? "Prices not streaming" : "Streaming");
  const since = stale ? "since" : "asked at";
  const told = (stale || asked) && as_of ? `${since} ${istTime(as_of)}` : "";
  say(slots(light).since, told);
  const title = ["The streams behind the prices", told].filter(Boolean).join(": ");
  if (light.title !== title) light.title = title;
}

// --- buttons ---------------------------------------------------------------------------------------------------------
/** What a person has pressed. What is refused stands until something else is pressed. */
async function attempt(work) {
  byId("trouble").hidden = true;
  try {
    await work();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    tellTrouble(error, "pressed");
  }
}

/** What nobody has pressed: it takes back its own trouble alone. */
async function readAgain() {
  const trouble = byId("trouble");
  try {
    await readConnections();
    if (trouble.dataset.of === "reading") trouble.hidden = true;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (trouble.hidden) tellTrouble(error, "reading");
  }
}

function tellTrouble({ message }, of) {
  const trouble = byId("trouble");
  trouble.dataset.of = of;
  trouble.textContent = message;
  trouble.hidden = false;
}

const actions = {
  login: ({ broker_type }) => attempt(() => logInAt(broker_type)),
  disconnect(connection) {
    const dialog = byId("disconnect");
    say(slots(dialog).name, nameOf(connection));
    ask(dialog, "disconnect", () => call("DELETE", `brokers/connections/${connection.id}`));
  },
  trading(connection) {
    const path = `brokers/connections/${connection.id}/trading`;
    if (connection.trading_enabled_at) return attempt(() => call("DELETE", path).then(readConnections));
    const dialog = byId("trading");
    say(slots(dialog).name, nameOf(connection));
    ask(dialog, "trading", () => call("POST", path, { consent: dialog.dataset.consentVersion }));
  },
  rename(connection) {
    const dialog = byId("rename");
    const { account, name, address } = slots(dialog);
    say(account, `${connection.broker_name} ${connection.account_id}`);
    const registered = connection.registered_ip ?? "";
    name.value = nameOf(connection);
    address.value = registered;
    ask(dialog, "rename", () => {
      const changed = address.value === registered ? {} : { registered_ip: address.value || null };
      return call("PATCH", `brokers/connections/${connection.id}`, { display_name: name.value, ...changed });
    });
    name.select();
  },
};

/** Open a dialog; `work` is done if it is left by the button called `answer`. */
function ask(dialog, answer, work) {
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue === answer) attempt(async () => {
      await work();
      await readConnections();
    });
  };
  dialog.showModal();
}

async function readConnections() {
  book.connections = await call("GET", "brokers/connections");
  render();
}

/** The socket does not open: is the session over, or is the server away? */
async function ifSignedOut() {
  try {
    await call("GET", "brokers/connections");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.code === "not_authenticated") location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
  }
}

const attention = watchAttention({
  login: ({ broker_type: broker, ...more }) => logInAt(broker, undefined, more),
  async ask(id) {
    if (!book.connections) await readConnections();
    const connection = book.connections.find((each) => each.id === id && isActive(each));
    if (!connection) throw new ApiError(GONE);
    actions.rename(connection);
  },
});

const tell = listen("/ws/portfolio/", {
  onRefused: ifSignedOut,
  onMessage({ type, data }) {
    book.heardAt = Date.now();
    handlers[type]?.(data);
    attention.heard(type);
    if (type !== "HEARTBEAT" && type !== "PRICES") render();
  },
  onState(line) {
    if (line === book.line) return;
    if (line === "open") tell({ type: "subscribe", topics: ["orders"] });
    if (book.line !== "connecting" || line === "lost") announce(line === "open" ? "Live again." : "Connection lost, reconnecting.");
    book.line = line;
    tick();
  },
});
setInterval(tick, 1000);
watchAnswerTimes(tick);
tick();
