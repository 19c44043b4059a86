// Single keys, as the list behind "?" says. Nothing is sent by one; and none is heard where somebody types.

import { remember, remembered } from "./remembered.js";

const TYPED_IN = "input:not([type=radio]):not([type=checkbox]), select, textarea, [contenteditable]";
const SECOND_KEY_MS = 1500;

const keys = new Map([["?", showKeys]]);
let shutAll = () => {};
let goesUntil = 0;

export const areSingleKeysOn = () => remembered("keys") !== "off";
export const setSingleKeys = (areOn) => remember("keys", areOn ? null : "off");

export function showKeys() {
  document.getElementById("shortcuts").showModal();
}

/** Single keys and what they do; `open(side)` opens the ticket, `find()` the search, `shut()` closes what is open. */
export function listenForKeys({ open, find, shut, ...others }) {
  if (open) keys.set("b", () => open("BUY")).set("s", () => open("SELL"));
  if (find) keys.set("/", find);
  if (shut) shutAll = shut;
  for (const [key, work] of Object.entries(others)) keys.set(key, work);
  return showKeys;
}

/** After "g", the letter of a page (`data-go` of its link) goes there. */
function went(key) {
  const isSecond = performance.now() < goesUntil;
  goesUntil = key === "g" ? performance.now() + SECOND_KEY_MS : 0;
  const link = isSecond && document.querySelector(`[data-go="${CSS.escape(key)}"]`);
  if (link) link.click();
  return Boolean(link) || key === "g";
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) return shutAll();
  if (event.target.closest?.(TYPED_IN) || document.querySelector("dialog[open]:not(.drawer)")) return;
  if (!areSingleKeysOn() && event.key !== "?") return;
  if (went(event.key)) return event.preventDefault();
  if (!keys.has(event.key)) return;
  event.preventDefault();
  keys.get(event.key)();
});
