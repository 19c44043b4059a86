// Sums of decimal strings, exactly: whole numbers of the finest place, never floating point.

const PLAIN = /^(-?)(\d+)(?:\.(\d+))?$/;

/** A decimal as a whole number of 10⁻ᵖˡᵃᶜᵉˢ. */
function scaled(text, places) {
  const [, minus, whole, fraction = ""] = PLAIN.exec(text);
  return BigInt(`${minus}${whole}${fraction.padEnd(places, "0")}`);
}

const placesOf = (text) => (text.includes(".") ? text.length - text.indexOf(".") - 1 : 0);

function written(amount, places) {
  const digits = String(amount < 0n ? -amount : amount).padStart(places + 1, "0");
  const cut = digits.length - places;
  return `${amount < 0n ? "-" : ""}${digits.slice(0, cut)}${places ? `.${digits.slice(cut)}` : ""}`;
}

/** What these come to, to as many places as the finest of them. */
export function sum(texts) {
  const places = texts.reduce((most, text) => Math.max(most, placesOf(text)), 0);
  return written(texts.reduce((total, text) => total + scaled(text, places), 0n), places);
}

export const negated = (text) => (text.startsWith("-") ? text.slice(1) : `-${text}`);

/**
 * An amount to two places as a whole number of paise; null where that would not be exact (over a lakh crore, or other
 * places). For the few things that are reckoned of every row at every update.
 */
export function paise(text) {
  if (text === null || text.length > 15 || text.charCodeAt(text.length - 3) !== 46) return null;
  return Number(text.slice(0, -3) + text.slice(-2));
}
