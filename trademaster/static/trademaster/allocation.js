// How the value is spread.

import { keyed, put, say } from "./dom.js";
import { percent } from "./format.js";

const CLASSES = { EQUITY: "Shares", FUND: "Funds and ETFs", DEBT: "Debt", OTHER: "Other" };

export function renderAllocation(classes) {
  document.getElementById("allocation-panel").hidden = classes.length === 0;
  keyed(document.getElementById("allocation"), classes, ({ asset_class }) => asset_class, "allocation-template", (fields, line) => {
    say(fields.kind, CLASSES[line.asset_class]);
    put(fields.weight, line.weight_percent, percent);
    fields.bar.value = line.weight_percent ?? 0;
  });
}
