// The strip of the market on every page: asked for again now and then, and told by the page's socket where it has one.

import { put, say } from "./dom.js";
import { istTime, number, ratioPercent, sign, signedPercent } from "./format.js";

const AGAIN_MS = 20_000;
const OLD_MS = 60_000;
const strip = document.getElementById("strip");
const places = new Map([...(strip?.querySelectorAll("[data-instrument]") ?? [])].map((node) => [node.dataset.instrument, node]));
let toldAt = Date.now();

export async function stripAgain() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/strip", { headers: { Accept: "text/html" }, redirect: "manual" });
    if (answer.ok) {
      takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"));
      toldAt = Date.now();
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // the network is away
  }
  if (Date.now() - toldAt > OLD_MS) tellAge();
}

/** Nobody answered, whyever: what stands here is from before, and says so. */
function tellAge() {
  const chip = document.createElement("span");
  chip.className = "chip warn";
  chip.title = "TradeMaster does not tell these just now: they are the last that were told.";
  chip.textContent = `as of ${istTime(toldAt).slice(0, -3)}`;
  strip.querySelector('[data-strip="stale"]').replaceChildren(chip);
}

function takeOver(fresh) {
  for (const part of fresh.querySelectorAll("[data-strip]")) {
    const mine = strip.querySelector(`[data-strip="${CSS.escape(part.dataset.strip)}"]`);
    if (!mine || mine.innerHTML === part.innerHTML) continue;
    Object.assign(mine.dataset, part.dataset);
    mine.replaceChildren(...[...part.childNodes].map((node) => document.importNode(node, true)));
  }
  const halts = document.getElementById("halts"); // the page of the kill switch has none
  const fresher = fresh.getElementById("halts");
  if (halts && fresher && halts.innerHTML !== fresher.innerHTML) halts.replaceChildren(...fresher.childNodes);
}

/** Have a socket tell the indices: called with its `tell` whenever it has opened. */
export function subscribeIndices(tell) {
  if (places.size) tell({ type: "subscribe", topic: "prices", instruments: [...places.keys()] });
}

/** Prices of the socket, of whatever instruments. */
export function takePrices({ prices }) {
  for (const { instrument, last_price, close_price, stale, asked } of prices) {
    const place = places.get(instrument);
    if (!place || last_price === null) continue;
    told(place.firstElementChild, stale ? "STALE" : asked ? "ASKED" : "LIVE");
    if (stale) continue;
    put(place.querySelector("[data-field=last]"), last_price, number);
    const close = close_price ?? place.dataset.close;
    const moved = close ? percentMoved(last_price, close) : null;
    toldAt = Date.now();
    const change = place.querySelector("[data-field=change]");
    say(change, moved === null ? "" : signedPercent(moved));
    change.dataset.sign = moved === null ? "" : sign(moved);
  }
  // Since when the others are stale, the server's next answer says.
  if (!strip?.querySelector('.index[data-state="STALE"]')) strip?.querySelector('[data-strip="stale"]').replaceChildren();
}

/** Whether its market is open the server knows; the reason of another state is no reason of this one. */
function told(level, state) {
  if (level.dataset.state === "CLOSED" || level.dataset.state === state) return;
  level.dataset.state = state;
  level.title = level.title.split(": ", 1)[0];
}

/** How far `last` stands from `close`, in percent to two places. */
function percentMoved(last, close) {
  const ratio = ratioPercent(last, close);
  if (ratio === null) return null;
  const hundredths = BigInt(ratio.replace(".", "")) - 10_000n;
  const digits = String(hundredths < 0n ? -hundredths : hundredths).padStart(3, "0");
  return `${hundredths < 0n ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

if (strip) {
  setInterval(stripAgain, AGAIN_MS);
  document.addEventListener("visibilitychange", stripAgain);
}
