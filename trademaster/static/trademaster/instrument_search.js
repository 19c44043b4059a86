// A box in which an instrument is searched for and chosen: a combobox over GET market/instruments.

import { ApiError, call } from "./api.js";
import { day, number } from "./format.js";
import { el } from "./ticket_preview.js";

const WAIT_MS = 150;
const MOST = 12;

/** `onChosen(instrument)` is told of each choice; `onTrouble(words)` of what went wrong. Answers `find(query, fits)` and `clear()`. */
export function searchIn(input, list, { onChosen, onTrouble }) {
  let timer, asked = 0, shown = [], place = -1;

  function show(found) {
    [shown, place] = [found, found.length ? 0 : -1];
    list.replaceChildren(...found.map(option));
    if (!found.length) list.replaceChildren(el("li", "quiet", "Nothing is called so."));
    open(true);
    mark();
  }

  function option(instrument, index) {
    const node = el("li", "", el("strong", "", instrument.tradingsymbol), ` ${instrument.exchange}`, el("small", "", described(instrument)));
    Object.assign(node, { id: `ticket-found-${index}`, role: "option" });
    node.addEventListener("mousedown", (event) => {
      event.preventDefault(); // the box keeps the focus
      choose(instrument);
    });
    return node;
  }

  function mark() {
    [...list.children].forEach((node, index) => node.setAttribute("aria-selected", String(index === place)));
    if (place >= 0) {
      input.setAttribute("aria-activedescendant", `ticket-found-${place}`);
      list.children[place].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }

  function open(isOpen) {
    list.hidden = !isOpen;
    input.setAttribute("aria-expanded", String(isOpen));
  }

  /** What is still asked for is wanted no more. */
  function overtake() {
    clearTimeout(timer);
    asked += 1;
  }

  function choose(instrument) {
    overtake();
    input.value = instrument.tradingsymbol;
    open(false);
    onChosen(instrument);
  }

  async function ask(query) {
    const mine = ++asked;
    try {
      const { instruments } = await call("GET", `market/instruments?${new URLSearchParams({ limit: MOST, ...query })}`);
      return mine === asked ? instruments : null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      onTrouble(error.message);
      return null;
    }
  }

  input.addEventListener("input", () => {
    overtake();
    onChosen(null);
    const q = input.value.trim();
    if (!q) return open(false);
    timer = setTimeout(async () => {
      const found = await ask({ q });
      if (found) show(found.filter(({ ended_on }) => ended_on === null));
    }, WAIT_MS);
  });
  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && shown.length) place = (place + step + shown.length) % shown.length;
    else if (event.key === "Enter" && shown[place]) choose(shown[place]);
    else if (event.key === "Escape") open(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
    mark();
  });
  input.addEventListener("blur", () => open(false));
  // Typed before this was here, or put back by the browser.
  if (input.value) queueMicrotask(() => input.dispatchEvent(new Event("input", { bubbles: true })));

  return {
    /** Choose what a row means: the first found that `fits`, which is answered. Where none does the list is shown
     * instead; null, too, where something else was asked for meanwhile. */
    async find(query, fits) {
      clearTimeout(timer);
      input.value = query.q;
      const found = await ask(query);
      if (!found) return null;
      const one = found.find(fits) ?? null;
      if (one) choose(one);
      else show(found);
      return one;
    },
    clear() {
      overtake();
      input.value = "";
      open(false);
    },
  };
}

/** What it is, in one line. */
export function described({ name, kind, expiry, strike, option_type: option, lot_size: lot }) {
  const contract = expiry ? [day(expiry), strike && number(strike), option].filter(Boolean).join(" ") : "";
  const lots = lot && lot !== "1" ? `lot of ${number(lot)}` : "";
  return [name || (expiry ? "" : kind.toLowerCase()), contract, lots].filter(Boolean).join(" · ");
}
