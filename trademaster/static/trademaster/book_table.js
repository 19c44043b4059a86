// What the tables of the book have in common: keys that lead through them, an order that stands, and who aims at a row.

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const SORTED_FOR_MS = 5_000; // so long at least an order stands, for whoever aims at a row
const GOES_ON_AFTER_MS = 1_000; // an order that is being put right does not wait longer for the next update
// A row that is moved costs as much as ten that are written to: hundreds at once would hold up the page.
const MOVE_EACH_MS = 125;
const MOVES_AT_ONCE = 8;

/** One row's buttons are a step apart; up and down go to the same one of the next row. */
export function arrowsLead(table) {
  table.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const row = event.target.closest(".row");
    if (!step || !row || event.ctrlKey || event.metaKey || event.altKey) return;
    const [down, right] = step;
    const all = [...table.querySelectorAll(".row")];
    const wanted = all[all.indexOf(row) + down];
    const button = wanted && stepped(buttonsOf(wanted), buttonsOf(row).indexOf(event.target.closest("button")), right);
    if (!button) return;
    event.preventDefault();
    button.focus();
  });
}

const buttonsOf = (row) => [...row.querySelectorAll("button")];

/** The one `right` of that place; one that is hidden here is stepped over. */
function stepped(buttons, place, right) {
  let wanted = place + right;
  while (buttons[wanted]?.hidden) wanted += right || -1;
  return buttons[wanted];
}

/** The order of a table that moves: made anew every few seconds at most, and never while somebody aims at a row of it. */
export class StandingOrder {
  keys = null;
  sortedAt = 0;
  isAimedAt = false;

  constructor(table) {
    table.addEventListener("pointerenter", () => (this.isAimedAt = true));
    table.addEventListener("pointerleave", () => (this.isAimedAt = table.contains(document.activeElement)));
    table.addEventListener("focusin", () => (this.isAimedAt = true));
    table.addEventListener("focusout", ({ relatedTarget }) => (this.isAimedAt = table.contains(relatedTarget) || table.matches(":hover")));
  }

  get age() {
    return performance.now() - this.sortedAt;
  }

  /** The keys in the order that is to stay, or null: sort anew. */
  held() {
    return this.keys && (this.isAimedAt || this.age < SORTED_FOR_MS) ? this.keys : null;
  }

  isSorted(keys) {
    this.keys = keys;
    this.sortedAt = performance.now();
  }
}

/** One of many rows: put right from the top, some eight rows a second; `goOn` is called where no update comes by. */
export class SettlingOrder extends StandingOrder {
  #settled = null; // how many rows from the top are in order again; null while none is put in order
  #timer = null;
  #goOn;

  constructor(table, goOn) {
    super(table);
    this.#goOn = goOn;
  }

  /** What `arrange` is to keep: all of it while somebody aims at a row, or it is young; nothing where it is asked for anew. */
  kept(isNews) {
    if (!isNews || !this.keys) return { held: null, settled: 0 };
    const isYoung = this.#settled === null && this.age < SORTED_FOR_MS;
    const moves = Math.min(MOVES_AT_ONCE, Math.max(1, Math.round(this.age / MOVE_EACH_MS)));
    return { held: this.keys, settled: this.isAimedAt || isYoung ? null : (this.#settled ?? 0), moves };
  }

  /** What `arrange` has made of it. */
  isArranged(kept, { order, settled }) {
    this.keys = order;
    if (kept.settled !== null) {
      this.#settled = settled;
      this.sortedAt = performance.now();
    }
    clearTimeout(this.#timer);
    if (this.#settled !== null && !this.isAimedAt) this.#timer = setTimeout(this.#goOn, GOES_ON_AFTER_MS);
  }
}

/** Which column a table is sorted by, and which way: words begin with A, numbers with the largest, unless reversed. */
export function tellOrder(table, { sort, reversed }) {
  const isRising = (sort === "name") !== reversed;
  for (const head of table.tHead.querySelectorAll("[data-sort]")) {
    const order = head.dataset.sort !== sort ? "none" : isRising ? "ascending" : "descending";
    if (head.getAttribute("aria-sort") !== order) head.setAttribute("aria-sort", order);
  }
}

/** What a press on this head wishes for: its column, or the other way round; undefined where it is no head. */
export function sortPressed(target, wish) {
  const sort = target.closest("th")?.dataset.sort;
  if (sort && target.closest(".sort")) return { sort, reversed: wish.sort === sort && !wish.reversed };
}

/** What can be chosen in `select`: [value, words] each, and what is wished for, known or not. */
export function choices(select, known, wished) {
  const all = wished && !known.some(([value]) => value === wished) ? [...known, [wished, wished]] : known;
  const signature = all.map(([value]) => value).join("\n");
  if (select.dataset.choices === signature) return;
  select.dataset.choices = signature;
  select.replaceChildren(select.options[0], ...all.map(([value, words]) => new Option(words, value)));
  select.value = wished;
}

/** The tools say what is wished for; whoever is choosing is left alone. */
export function showWish(tools, wish) {
  for (const control of tools.elements) {
    const wished = wish[control.name];
    if (control.name && control.value !== wished && document.activeElement !== control) control.value = wished;
  }
}
