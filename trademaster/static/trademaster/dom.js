// Filling <template>s: nodes are made once per key and written to from then on, so that rows stay where they are.

import { compare, sign } from "./format.js";

const slotsOf = new WeakMap();
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const WAYS = { "-1": "down", 0: "other", 1: "up" };
const FLASH_MS = 500;
let marked = [];

/** The [data-field] elements of a node by name, as they were when first asked for. */
export function slots(node) {
  if (!slotsOf.has(node)) {
    const found = [...node.querySelectorAll("[data-field]")].map((slot) => [slot.dataset.field, slot]);
    slotsOf.set(node, Object.fromEntries(found));
  }
  return slotsOf.get(node);
}

export function fromTemplate(id) {
  const node = document.getElementById(id).content.firstElementChild.cloneNode(true);
  slots(node);
  return node;
}

/** One child per item, made from the template once; `fill(slots, item, node)` writes into it. New ones come last. */
export function keyed(parent, items, keyOf, templateId, fill) {
  const leaving = new Map([...parent.querySelectorAll(":scope > [data-key]")].map((node) => [node.dataset.key, node]));
  for (const item of items) {
    const key = keyOf(item);
    const node = leaving.get(key) ?? parent.appendChild(fromTemplate(templateId));
    if (node.dataset.key !== key) node.dataset.key = key;
    leaving.delete(key);
    fill(slots(node), item, node);
  }
  leaving.forEach((node) => node.remove());
}

/** Write plain words; nothing happens where they stand already. A text that is there is changed: one put in its place
 * would have to find its style and its place anew. */
export function say(node, words) {
  const text = node.firstChild;
  const isPlain = words && text && text === node.lastChild && text.nodeType === Node.TEXT_NODE;
  if (isPlain) {
    if (text.data !== words) text.data = words;
  } else if (node.textContent !== words) node.textContent = words;
}

/** Write a number. null is shown as unknown, never as zero; a change flashes where the
 * template says `data-flash`; `tone` colours by sign. */
export function put(node, value, format, { tone = false, unknown = "not known" } = {}) {
  const before = node.dataset.value;
  const known = value !== null && value !== undefined;
  if (known ? before === value : node.classList.contains("unknown") && node.title === unknown) return;
  if (!known || before === undefined) node.classList.toggle("unknown", !known);
  say(node, known ? format(value) : "—");
  if (!known) {
    node.title = unknown;
    delete node.dataset.value;
    delete node.dataset.sign;
    return;
  }
  if (before === undefined) node.removeAttribute("title");
  node.dataset.value = value;
  if (tone) node.dataset.sign = sign(value);
  if (before !== undefined && "flash" in node.dataset) flash(node, WAYS[compare(value, before)]);
}

/** Show for half a moment that a number moved: "up", "down" or "other". A mark that is set and taken away costs two
 * looks at the cell; one that fades costs one for every frame in between, and hundreds may move at once. */
export function flash(node, way) {
  if (calm.matches) return;
  node.dataset.moved = way;
  if (marked.length === 0) setTimeout(calmDown, FLASH_MS);
  marked.push(node);
}

function calmDown() {
  for (const node of marked) delete node.dataset.moved;
  marked = [];
}

/** Write words whose addresses can be followed, each in a tab of its own. */
export function sayLinked(node, words) {
  const pieces = words.split(/(https:\/\/[\w./-]*\w)/);
  const link = (href) => Object.assign(document.createElement("a"), { href, textContent: href, target: "_blank", rel: "noopener" });
  node.replaceChildren(...pieces.map((piece, index) => (index % 2 ? link(piece) : piece)));
}

/** A row of small labels: {text, title, tone}. */
export function chips(node, labels) {
  const signature = labels.map(({ text, title, tone }) => `${text}\n${title}\n${tone}`).join("\n\n");
  if ((node.dataset.chips ?? "") === signature) return;
  node.dataset.chips = signature;
  node.replaceChildren(
    ...labels.map(({ text, title = "", tone = "plain" }) =>
      Object.assign(document.createElement("span"), { className: `chip ${tone}`, textContent: text, title }),
    ),
  );
}

/** A list of sentences. */
export function lines(node, sentences) {
  const signature = sentences.join("\n");
  if (node.dataset.lines === signature) return;
  node.dataset.lines = signature;
  node.replaceChildren(...sentences.map((textContent) => Object.assign(document.createElement("li"), { textContent })));
}

/** Tell people who listen to the page; changes of state only. */
export function announce(words) {
  say(document.getElementById("announcer"), words);
}
