// Today's orders in the dashboard's table: the lanes of the page of orders, asked for whole, and again at every news.

import { say } from "./dom.js";
import { duration, istTime } from "./format.js";
import { takeOver } from "./morph.js";

const TOGETHER_MS = 120; // news of one moment are asked for in one
const place = document.getElementById("orders-lanes");
const trouble = document.getElementById("orders-trouble");
const mark = document.getElementById("orders-mark");
const state = { isReading: false, isWanted: false, timer: null, readAt: null, offset: 0 };

/** Ask for the orders, soon; while they are asked for, once more after that. */
export function readOrders() {
  state.isWanted = true;
  if (state.isReading || state.timer) return;
  state.timer = setTimeout(read, TOGETHER_MS);
}

async function read() {
  Object.assign(state, { timer: null, isReading: true, isWanted: false });
  try {
    const response = await fetch(place.dataset.from, { headers: { Accept: "text/html" } });
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    const lanes = fresh.getElementById("lanes");
    if (response.ok && lanes) show(fresh, lanes);
    else say(trouble, failed("TradeMaster answered with an error."));
    trouble.hidden = response.ok && lanes !== null;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    say(trouble, failed("TradeMaster did not answer."));
    trouble.hidden = false;
  } finally {
    state.isReading = false;
    if (state.isWanted) readOrders();
  }
}

function failed(what) {
  const before = state.readAt ? `What stands here is of ${istTime(state.readAt)} IST.` : "They are not shown, and may stand all the same.";
  return `${what} ${before} Orders at the brokers go on without it. It is asked again at the next news; the page of orders asks at once.`;
}

function show(fresh, lanes) {
  if (place.querySelector("#lanes")) takeOver(fresh);
  else place.replaceChildren(document.importNode(lanes, true));
  const now = fresh.getElementById("main").dataset.now;
  Object.assign(state, { readAt: Date.now(), offset: Date.parse(now) - Date.now() });
  const unknown = Number(countOf("unknown"));
  const open = Number(countOf("approval")) + Number(countOf("working"));
  mark.className = `chip ${unknown ? "warn" : "plain"}`;
  mark.hidden = unknown + open === 0;
  say(mark, unknown ? `${unknown} not known` : String(open));
  mark.title = unknown ? "Orders of which nobody knows what became: none is sent again" : "Orders that work, or wait for you";
  grow();
}

const countOf = (lane) => place.querySelector(`[data-part="count-${lane}"]`)?.textContent ?? "0";

/** How long each order has been as it is, by the server's clock. */
export function grow() {
  const now = Date.now() + state.offset;
  for (const node of place.querySelectorAll("time[data-since]")) say(node, duration((now - Date.parse(node.dataset.since)) / 1000));
}
