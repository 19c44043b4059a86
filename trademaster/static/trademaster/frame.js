// What stands around every page: the clock, amounts hidden or not, the colours, the keys, the way offline.

import { say } from "./dom.js";
import { istTime } from "./format.js";
import { remember, remembered } from "./remembered.js";
import "./strip.js";
import { areSingleKeysOn, listenForKeys, setSingleKeys, showKeys } from "./shortcuts.js";

const root = document.documentElement;
const byId = (id) => document.getElementById(id);

// --- amounts hidden -------------------------------------------------------------------------------------------------
const eye = byId("privacy");

function setPrivate(isPrivate) {
  root.toggleAttribute("data-private", isPrivate);
  eye?.setAttribute("aria-pressed", String(isPrivate));
}

// Hidden in one tab, hidden in all: those that are open, and those that the browser kept to go back to.
const asRemembered = () => setPrivate(remembered("private") === "yes");
addEventListener("storage", ({ key }) => (key === "private" || key === null) && asRemembered());
addEventListener("pageshow", ({ persisted }) => persisted && asRemembered());

if (eye) {
  eye.hidden = false;
  eye.setAttribute("aria-pressed", String(root.hasAttribute("data-private")));
  const turn = () => {
    setPrivate(!root.hasAttribute("data-private"));
    remember("private", root.hasAttribute("data-private") ? "yes" : null);
  };
  eye.addEventListener("click", turn);
  listenForKeys({ p: turn });
}

// --- colours --------------------------------------------------------------------------------------------------------
// Under a name of our own: Django's admin keeps its choice in this browser as `theme`, in other words.
const theme = byId("theme");
theme.hidden = false;
const mine = theme.querySelector(`[value="${CSS.escape(remembered("trademaster.theme") ?? "")}"]`);
if (mine) mine.checked = true;
theme.addEventListener("change", ({ target: { value } }) => {
  if (value) root.dataset.theme = value;
  else delete root.dataset.theme;
  remember("trademaster.theme", value || null);
});

// --- keys -----------------------------------------------------------------------------------------------------------
byId("open-shortcuts").hidden = false;
byId("open-shortcuts").addEventListener("click", showKeys);
byId("single-keys").checked = areSingleKeysOn();
byId("single-keys").addEventListener("change", ({ target }) => setSingleKeys(target.checked));

/** A menu that was left is shut: by Escape, by a click elsewhere, or by the focus that went on. */
for (const menu of document.querySelectorAll("details.menu")) {
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  document.addEventListener("click", ({ target }) => menu.contains(target) || (menu.open = false));
  menu.addEventListener("focusout", ({ relatedTarget }) => relatedTarget && !menu.contains(relatedTarget) && (menu.open = false));
}

// --- the clock ------------------------------------------------------------------------------------------------------
const clock = byId("clock");
if (clock) {
  const tick = () => say(clock, istTime(new Date()));
  tick();
  setInterval(tick, 1000);
}

// --- offline --------------------------------------------------------------------------------------------------------
if ("serviceWorker" in navigator && isSecureContext) {
  addEventListener("load", () => navigator.serviceWorker.register("/sw.js").catch((error) => console.info("No page for offline:", error.message)));
}
