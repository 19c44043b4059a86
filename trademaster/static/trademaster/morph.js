// A page that stands takes over what the same page, asked for again, says now. Rows stay; cells that differ flash.

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** `fresh`: a document of the same page. Nothing that holds the focus is replaced. */
export function takeOver(fresh) {
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const mine = document.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
    if (mine) replaced(mine, part);
  }
  for (const table of fresh.querySelectorAll("[data-rows]")) rows(table);
  for (const row of document.querySelectorAll("[data-rows] > [data-key]")) {
    if (!fresh.getElementById(row.id)) row.remove();
  }
}

function rows(table) {
  const parent = document.querySelector(`[data-rows="${CSS.escape(table.dataset.rows)}"]`);
  if (!parent) return;
  let before = parent.querySelector("thead");
  for (const wanted of table.querySelectorAll(":scope > [data-key]")) {
    const node = document.getElementById(wanted.id) ?? document.importNode(wanted, true);
    patch(node, wanted);
    if (before.nextElementSibling !== node) before.after(node);
    before = node;
  }
}

function patch(node, wanted) {
  node.dataset.status = wanted.dataset.status;
  for (const cell of wanted.querySelectorAll("[data-cell]")) {
    const mine = node.querySelector(`[data-cell="${cell.dataset.cell}"]`);
    if (cell.dataset.since) mine.dataset.since = cell.dataset.since;
    if (replaced(mine, cell) && "flash" in cell.dataset && node.isConnected) flash(mine);
  }
  const doubts = node.querySelector("[data-doubts]");
  doubts.hidden = wanted.querySelector("[data-doubts]").hidden;
}

/** Whether it was another one. */
function replaced(mine, wanted) {
  if (mine.innerHTML === wanted.innerHTML || mine.contains(document.activeElement)) return false;
  mine.replaceChildren(...[...wanted.childNodes].map((node) => document.importNode(node, true)));
  return true;
}

function flash(node) {
  if (!calm.matches) node.animate({ backgroundColor: ["var(--flash)", "transparent"] }, { duration: 900, easing: "ease-out" });
}
