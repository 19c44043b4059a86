// On the dashboard the ticket lies docked beside the book, one line until it is used; on a narrow screen in a drawer.

import { listenForKeys } from "./shortcuts.js";
import { form, isUnderWay, open, tellMarket } from "./ticket.js";

const drawer = document.getElementById("ticket-drawer");
const dock = document.getElementById("ticket-dock");
const ticket = document.getElementById("ticket");
const isWide = matchMedia("(min-width: 1181px)");

const isShown = () => drawer.open || dock.classList.contains("open");

/** To where the screen has room for it; what was typed comes along. */
function place() {
  const wasShown = isShown();
  dock.hidden = !isWide.matches;
  if (drawer.open) drawer.close();
  dock.classList.remove("open");
  if (isWide.matches) dock.append(ticket);
  else drawer.append(ticket);
  ticket.hidden = isWide.matches && !wasShown;
  if (wasShown) unfold();
}

function unfold() {
  if (!isShown()) tellMarket();
  if (!isWide.matches) {
    if (!drawer.open) drawer.showModal();
    return;
  }
  dock.classList.add("open");
  ticket.hidden = false;
  // On top of its column, so that all of it is in sight.
  if (dock.previousElementSibling) dock.parentElement.prepend(dock);
  dock.scrollIntoView({ block: "nearest" });
}

function fold() {
  if (!dock.classList.contains("open")) return;
  dock.classList.remove("open");
  ticket.hidden = true;
  document.getElementById("day").before(dock);
  document.activeElement.blur();
}

function show(side, deal) {
  unfold();
  open(side, deal);
}

document.addEventListener("click", ({ target }) => {
  const side = target.dataset?.dealSide;
  if (side) show(side, JSON.parse(target.closest("[data-deal]").dataset.deal));
});
for (const button of dock.querySelectorAll("[data-dock-side]")) button.addEventListener("click", () => show(button.dataset.dockSide));
document.getElementById("ticket-shut").addEventListener("click", fold);
listenForKeys({ open: show, find: () => show(form.elements.side.value), shut: fold });
isWide.addEventListener("change", place);
place();
if (isUnderWay()) unfold();
