// The tabs over the book, as the practices for ARIA have them; which one is open stands in the address.

import { listenForKeys } from "./shortcuts.js";

const STEPS = { ArrowLeft: -1, ArrowRight: 1 };
const tabs = [...document.querySelectorAll("#book-tabs [role=tab]")];
const nameOf = (tab) => tab.dataset.tab;

/** `onOpen(name)` is called whenever another one opens, and once now. */
export function listenToTabs(onOpen) {
  function open(tab, { isWritten = true } = {}) {
    for (const each of tabs) {
      const isOpen = each === tab;
      each.setAttribute("aria-selected", String(isOpen));
      each.tabIndex = isOpen ? 0 : -1;
      document.getElementById(each.getAttribute("aria-controls")).hidden = !isOpen;
    }
    if (isWritten) history.replaceState(history.state, "", tab === tabs[0] ? location.pathname + location.search : `#${nameOf(tab)}`);
    onOpen(nameOf(tab));
  }

  const ofAddress = () => tabs.find((tab) => `#${nameOf(tab)}` === location.hash);
  for (const tab of tabs) tab.addEventListener("click", () => open(tab));
  tabs[0].parentElement.addEventListener("keydown", (event) => {
    const place = tabs.indexOf(document.activeElement);
    const wanted = { Home: 0, End: tabs.length - 1 }[event.key] ?? (place + STEPS[event.key] + tabs.length) % tabs.length;
    if (place < 0 || !(wanted in tabs)) return;
    event.preventDefault();
    tabs[wanted].focus();
    open(tabs[wanted]);
  });
  const opening = (tab) => () => {
    tab.focus();
    open(tab);
  };
  listenForKeys(Object.fromEntries(tabs.map((tab) => [tab.dataset.key, opening(tab)])));
  addEventListener("hashchange", () => ofAddress() && open(ofAddress(), { isWritten: false }));
  open(ofAddress() ?? tabs[0], { isWritten: false });
}
