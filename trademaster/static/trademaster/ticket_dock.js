// Beside the lanes the ticket is docked; on a narrow screen it is opened above them.

import { listenForKeys } from "./shortcuts.js";
import { form, isUnderWay, open, tellMarket } from "./ticket.js";

const docked = document.querySelector(".docked");
const filter = document.getElementById("filter");

function show(side) {
  docked.classList.add("open");
  docked.scrollIntoView({ block: "nearest" });
  open(side);
}

function shut() {
  docked.classList.remove("open");
  document.activeElement.blur();
}

listenForKeys({ open: show, find: () => show(form.elements.side.value), shut });
document.getElementById("open-ticket").addEventListener("click", () => show("BUY"));
filter.addEventListener("change", ({ target }) => target.tagName === "SELECT" && filter.requestSubmit());
if (isUnderWay()) docked.classList.add("open");
tellMarket();
