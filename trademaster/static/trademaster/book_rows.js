// Rows of a live table: made once per key, written to only when what they show is another object, and kept in order.
// Those far out of sight are written a few at a time, and at once when they come near: nobody waits for what nobody sees.

import { fromTemplate, slots } from "./dom.js";
import { inPlace } from "./in_place.js";

const NEAR = "120px 0px"; // beyond the window's edges
const FAR_ROWS_AT_ONCE = 4;

export class Rows {
  #held = new Map();
  #late = new Set(); // rows out of sight that show less than is known
  #watch = new IntersectionObserver((seen) => this.#moved(seen), { rootMargin: NEAR });
  #after;
  #kinds;

  /** `after`: the element that the rows follow. `kinds`: what an entry may be, `{template, fill(slots, item, node)}` by name. */
  constructor(after, kinds) {
    this.#after = after;
    this.#kinds = kinds;
  }

  /** `entries`: [{key, kind, item}], in order. `context`: what the filling of all rows depends on besides; compared as it is. */
  show(entries, context = null) {
    const leaving = new Map(this.#held);
    for (const { key } of entries) leaving.delete(key);
    for (const [key, row] of leaving) {
      this.#watch.unobserve(row.node.firstElementChild);
      this.#late.delete(row);
      row.node.remove();
      this.#held.delete(key);
    }
    const focused = document.activeElement;
    const staying = inPlace(entries.map(({ key }) => this.#held.get(key)?.place ?? null));
    let before = this.#after;
    entries.forEach(({ key, kind, item }, place) => {
      const row = this.#held.get(key) ?? this.#made(key, kind);
      const isAnother = row.item !== item || row.context !== context;
      const isNew = row.place === null;
      Object.assign(row, { item, context, place });
      if (isAnother && (isNew || row.isNear)) this.#fill(row);
      else if (isAnother) this.#late.add(row);
      if (!staying.has(place)) before.after(row.node);
      before = row.node;
    });
    for (const row of [...this.#late].slice(0, FAR_ROWS_AT_ONCE)) this.#fill(row);
    // An element that is moved loses the focus that it has.
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  }

  nodeOf(key) {
    return this.#held.get(key)?.node;
  }

  /** Have a row written anew, whatever it shows. */
  again(key) {
    const row = this.#held.get(key);
    if (row) this.#fill(row);
  }

  #fill(row) {
    this.#late.delete(row);
    this.#kinds[row.kind].fill(slots(row.node), row.item, row.node);
  }

  #made(key, kind) {
    const node = fromTemplate(this.#kinds[kind].template);
    node.dataset.key = key;
    const row = { node, kind, item: undefined, context: undefined, place: null, isNear: true };
    this.#held.set(key, row);
    // The first line: what opens beneath it may be hidden.
    this.#watch.observe(node.firstElementChild);
    return row;
  }

  #moved(seen) {
    for (const { target, isIntersecting } of seen) {
      const row = this.#held.get(target.parentElement?.dataset.key);
      if (!row) continue;
      row.isNear = isIntersecting;
      if (isIntersecting && this.#late.has(row)) this.#fill(row);
    }
  }
}
