// On the dashboard the ticket lies in a drawer, which the rows' buttons and the keys open.

import { listenForKeys } from "./shortcuts.js";
import { isUnderWay, open, tellMarket } from "./ticket.js";

const drawer = document.getElementById("ticket-drawer");

function show(side, deal) {
  if (!drawer.open) {
    drawer.showModal();
    tellMarket();
  }
  open(side, deal);
}

document.addEventListener("click", ({ target }) => {
  const side = target.dataset?.dealSide;
  if (side) show(side, JSON.parse(target.closest("[data-deal]").dataset.deal));
});
listenForKeys({ open: show, find: () => show("BUY"), shut() {} });
if (isUnderWay()) drawer.showModal();
