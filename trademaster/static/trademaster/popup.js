// What opens over the page (`<details class="popup">`): one at a time, and closed by Escape or by going elsewhere.

const OPEN = "details.popup[open]";

function closeBut(kept) {
  for (const popup of document.querySelectorAll(OPEN)) if (!popup.contains(kept)) popup.open = false;
}

/** Close it, and leave the keyboard where it was opened. */
export function close(popup) {
  popup.open = false;
  popup.querySelector("summary").focus();
}

/** Up and down walk through the buttons of a menu, round and round. */
function walk(event, popup) {
  const buttons = [...popup.querySelectorAll("button:not([hidden])")];
  if (buttons.length === 0) return;
  const step = event.key === "ArrowDown" ? 1 : -1;
  const here = buttons.indexOf(document.activeElement);
  const next = here === -1 && step === -1 ? buttons.length - 1 : (here + step + buttons.length) % buttons.length;
  buttons[next].focus();
  event.preventDefault();
}

addEventListener("click", ({ target }) => closeBut(target));
addEventListener("focusin", ({ target }) => closeBut(target));
addEventListener("keydown", (event) => {
  const popup = document.querySelector(OPEN);
  if (popup === null) return;
  if (event.key === "Escape") close(popup);
  else if (/^Arrow(Up|Down)$/.test(event.key) && popup.contains(event.target)) walk(event, popup);
});
