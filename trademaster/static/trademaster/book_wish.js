// What is asked of a table: which rows, in which order, in which groups. Remembered in this browser.

/**
 * `kept`: the name it is kept under. `usual`: what is shown to whoever asks for nothing. `narrowing`: the names of those
 * wishes that leave out rows.
 */
export function wishes(kept, usual, narrowing) {
  const isUsual = (wish) => Object.keys(usual).every((name) => wish[name] === usual[name]);
  return {
    usual: Object.freeze(usual),
    isUsual,
    narrows: (wish) => narrowing.some((name) => wish[name] !== ""),
    /** What was kept, as far as it is of the shape that it should be. */
    remembered(storage) {
      const found = read(storage, kept);
      const fits = Object.entries(usual).filter(([name, each]) => typeof found[name] === typeof each);
      return { ...usual, ...Object.fromEntries(fits.map(([name]) => [name, found[name]])) };
    },
    remember(storage, wish) {
      try {
        if (isUsual(wish)) storage.removeItem(kept);
        else storage.setItem(kept, JSON.stringify(wish));
      } catch (error) {
        if (!(error instanceof DOMException)) throw error; // a browser that keeps nothing: the wish lasts as long as the page
      }
    },
  };
}

function read(storage, kept) {
  try {
    return JSON.parse(storage.getItem(kept) ?? "{}") ?? {};
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof DOMException) return {}; // not ours, or no storage: as if nothing was kept
    throw error;
  }
}
