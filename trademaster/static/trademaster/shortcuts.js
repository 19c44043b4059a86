// Single keys, as the list behind "?" says. Nothing is sent by one; and none is heard where somebody types.

const TYPED_IN = "input:not([type=radio]), select, textarea, [contenteditable]";

/** `open(side)` opens the ticket; `find()` the search; `shut()` closes what is open. */
export function listenForKeys({ open, find, shut }) {
  const list = document.getElementById("shortcuts");
  const keys = { b: () => open("BUY"), s: () => open("SELL"), "/": find, "?": () => list.showModal() };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) return shut();
    if (event.target.closest?.(TYPED_IN) || document.querySelector("dialog[open]:not(.drawer)")) return;
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
  return () => list.showModal();
}
