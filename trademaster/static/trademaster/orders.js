// The pages of orders. They came rendered; news of an order make them ask for themselves again, and take over what changed.

import { ApiError, call, withFields } from "./api.js";
import { announce, say, slots } from "./dom.js";
import { figures } from "./figures.js";
import { duration, istTime } from "./format.js";
import { takeOver } from "./morph.js";
import { listen } from "./socket.js";
import { subscribeIndices, takePrices } from "./strip.js";

const TOGETHER_MS = 120; // news of one moment are asked for in one
const LOOKED_MS = 2000; // a reading of a book that found nothing new is no news: so long after it is due, it is asked for
const byId = (id) => document.getElementById(id);
const main = byId("main");
const OUTCOMES = {
  DONE: "The broker took it; whether it was in time its book tells.",
  KEPT: "It is kept, and goes out as soon as the order is found.",
  UNKNOWN: "The broker did not answer; its book tells what came of it.",
  TOO_LATE: "Too late: it had ended before.",
  ALREADY: "It was asked for already.",
};
const page = { readAt: Date.now(), offset: Date.parse(main.dataset.now) - Date.now(), line: "connecting", isReading: false, isWanted: false, timer: null };

// --- as it is now ----------------------------------------------------------------------------------------------------
/** Ask for this page again, soon; while it is asked for, once more after that. */
function refresh() {
  page.isWanted = true;
  if (page.isReading || page.timer) return;
  page.timer = setTimeout(read, TOGETHER_MS);
}

async function read() {
  Object.assign(page, { timer: null, isReading: true, isWanted: false });
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (response.redirected && new URL(response.url).pathname !== location.pathname) return location.reload();
    if (!response.ok) throw new ApiError({ message: "TradeMaster answered with an error.", remedy: `What stands here is of ${istTime(page.readAt)} IST.` });
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    takeOver(fresh);
    const now = fresh.getElementById("main").dataset.now;
    Object.assign(page, { readAt: Date.now(), offset: Date.parse(now) - Date.now() });
    byId("trouble").hidden = true;
    tick();
  } catch (error) {
    if (error instanceof TypeError) return; // the network is away: the light says so, and its return asks again
    if (!(error instanceof ApiError)) throw error;
    trouble(error.message);
  } finally {
    page.isReading = false;
    if (page.isWanted) refresh();
  }
}

/** What grows old by itself, by the server's clock. */
function tick() {
  const now = Date.now() + page.offset;
  for (const node of document.querySelectorAll("time[data-since]")) say(node, duration((now - Date.parse(node.dataset.since)) / 1000));
  for (const node of document.querySelectorAll("time[data-until]")) {
    const left = (Date.parse(node.dataset.until) - now) / 1000;
    say(node, left > 0 ? `in ${duration(left)}` : "now");
    if (left * 1000 < -LOOKED_MS && Date.now() - page.readAt > 2 * LOOKED_MS && page.line === "open") refresh();
  }
  const light = byId("socket-light");
  main.dataset.line = light.dataset.state = page.line;
  say(slots(light).words, { open: "Live", lost: "Reconnecting" }[page.line] ?? "Connecting");
  byId("offline").hidden = page.line !== "lost";
  if (page.line === "lost") say(byId("offline"), `The connection to TradeMaster is lost; reconnecting… What stands here is of ${istTime(page.readAt)} IST. Orders at the brokers go on without it.`);
}

const tell = listen("/ws/portfolio/", {
  async onRefused() {
    await attempt(() => call("GET", "orders/settings"), { isQuiet: true });
  },
  onMessage({ type, data }) {
    if (type === "SNAPSHOT") {
      tell({ type: "subscribe", topics: ["orders"] });
      subscribeIndices(tell);
      refresh(); // what was missed meanwhile
    }
    if (type === "PRICES") takePrices(data);
    if (type !== "ORDER_UPDATE" || (main.dataset.order && main.dataset.order !== data.order_id)) return;
    const { side, tradingsymbol, status, alert } = data;
    announce(alert ? `${side} ${tradingsymbol} needs you.` : `${side} ${tradingsymbol}: ${status.toLowerCase().replaceAll("_", " ")}.`);
    refresh();
  },
  onState(line) {
    if (line === page.line) return;
    if (line === "lost" || page.line === "lost") announce(line === "open" ? "Live again." : "Connection lost, reconnecting.");
    page.line = line;
    tick();
  },
});
document.addEventListener("orders-changed", refresh);
setInterval(tick, 1000);
tick();

// --- what can be done ------------------------------------------------------------------------------------------------
function trouble(words) {
  byId("news").hidden = true;
  byId("trouble").replaceChildren(...figures(words));
  byId("trouble").hidden = false;
}

function news(words) {
  byId("trouble").hidden = true;
  byId("news").replaceChildren(...figures(words));
  byId("news").hidden = false;
}

async function attempt(work, { isQuiet = false } = {}) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.code === "not_authenticated") location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
    else if (!isQuiet) trouble(withFields(error));
    return undefined;
  }
}

/** One question; whether it was answered by going on. */
function ask({ title, words, keep, go }) {
  const dialog = byId("ask");
  const parts = slots(dialog);
  say(parts.title, title);
  say(parts.words, words);
  say(parts.keep, keep);
  say(parts.go, go);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "go"), { once: true }));
}

/** What became of a cancellation or change at each broker. */
function outcomes(named, { asked }) {
  const said = asked.map(({ outcome, message, remedy }) => OUTCOMES[outcome] ?? [message, remedy].filter(Boolean).join(" "));
  return `${named}. ${[...new Set(said)].join(" ") || "Nothing had gone out."}`;
}

/** A fresh proof may be asked for: that is where to come back to. (No element is called so: nothing is scrolled to.) */
const remember = (order) => history.replaceState(null, "", `#at-${order}`);

const doing = {
  async cancel({ order, words }) {
    const isSure = await ask({
      title: `Cancel ${words}?`,
      words: "What is filled by then stays filled. The rest ends, and its money or shares are free again; each broker’s book tells whether it was in time.",
      keep: "Keep the order",
      go: "Cancel the order",
    });
    if (isSure) return outcomes(`Cancelling ${words}`, await call("DELETE", `orders/${order}`));
  },
  async approve({ order, words }) {
    remember(order);
    const { order: placed, decision } = await call("POST", `orders/${order}/approve`);
    if (placed.status === "REFUSED") throw new ApiError({ message: `${words}: refused now, nothing was sent.`, remedy: placed.reason });
    return `${words} is approved and sent. ${decision?.why ?? ""}`;
  },
  async decline({ order, words }) {
    remember(order);
    await call("POST", `orders/${order}/decline`);
    return `${words} is not approved: nothing was sent.`;
  },
  async settle({ order, child }, typed) {
    await call("POST", `orders/${order}/settle`, { child, filled_quantity: typed.filled_quantity, average_price: typed.average_price || null });
    return "It is settled as the contract note says.";
  },
  async change({ order }, typed) {
    const changed = Object.fromEntries(Object.entries(typed).filter(([, value]) => value));
    return outcomes("Changing it", await call("PATCH", `orders/${order}`, changed));
  },
};

async function act(name, facts, typed) {
  await attempt(async () => {
    const said = await doing[name](facts, typed);
    if (said) news(said);
  });
  refresh();
}

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-action]");
  if (!button) return;
  const { action, ...facts } = button.dataset;
  button.disabled = true;
  await act(action, facts);
  button.disabled = false;
});
document.addEventListener("submit", async (event) => {
  const { actionForm, ...facts } = event.target.dataset;
  if (!actionForm) return;
  event.preventDefault();
  const typed = Object.fromEntries([...new FormData(event.target)].map(([name, value]) => [name, value.trim().replaceAll(",", "")]));
  event.submitter?.blur();
  await act(actionForm, facts, typed);
});

// Back from a proof that was asked for: where it was asked.
byId(location.hash.replace("#at-", "order-"))?.querySelector("[data-action=approve]")?.focus();
