// What is asked of the table of holdings: which rows, in which order, in which groups. Remembered in this browser.

const KEPT = "trademaster.holdings";

/** Everything, the most valuable first. `move`: GAIN, LOSS or UNPRICED; `group`: broker, kind or sector. */
export const EVERYTHING = Object.freeze({
  text: "", broker: "", kind: "", sector: "", move: "", group: "", sort: "value", reversed: false, page: 1,
});
const NARROWING = ["text", "broker", "kind", "sector", "move"];

export const narrows = (wish) => NARROWING.some((name) => wish[name] !== "");
export const isUsual = (wish) => Object.keys(EVERYTHING).every((name) => wish[name] === EVERYTHING[name]);

/** What was kept, as far as it is of the shape that it should be. */
export function remembered(storage) {
  const kept = read(storage);
  const fits = Object.entries(EVERYTHING).filter(([name, usual]) => typeof kept[name] === typeof usual);
  return { ...EVERYTHING, ...Object.fromEntries(fits.map(([name]) => [name, kept[name]])) };
}

function read(storage) {
  try {
    return JSON.parse(storage.getItem(KEPT) ?? "{}") ?? {};
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof DOMException) return {}; // not ours, or no storage: as if nothing was kept
    throw error;
  }
}

export function remember(storage, wish) {
  try {
    if (isUsual(wish)) storage.removeItem(KEPT);
    else storage.setItem(KEPT, JSON.stringify(wish));
  } catch (error) {
    if (!(error instanceof DOMException)) throw error; // a browser that keeps nothing: the wish lasts as long as the page
  }
}
