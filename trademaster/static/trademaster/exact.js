// Sums of decimal strings, exactly: whole numbers of the finest place, never floating point.

const PLAIN = /^(-?)(\d+)(?:\.(\d+))?$/;

/** A decimal as a whole number of 10⁻ᵖˡᵃᶜᵉˢ. */
function scaled(text, places) {
  const [, minus, whole, fraction = ""] = PLAIN.exec(text);
  return BigInt(`${minus}${whole}${fraction.padEnd(places, "0")}`);
}

const HUNDRED_PERCENT = 10_000n; // in hundredths of one
const placesOf = (text) => (text.includes(".") ? text.length - text.indexOf(".") - 1 : 0);

const finest = (texts) => texts.reduce((most, text) => Math.max(most, placesOf(text)), 0);

function written(amount, places) {
  const digits = String(amount < 0n ? -amount : amount).padStart(places + 1, "0");
  const cut = digits.length - places;
  return `${amount < 0n ? "-" : ""}${digits.slice(0, cut)}${places ? `.${digits.slice(cut)}` : ""}`;
}

/** What these come to, to as many places as the finest of them. */
export function sum(texts) {
  const places = finest(texts);
  return written(texts.reduce((total, text) => total + scaled(text, places), 0n), places);
}

/** One times another, to as many places as both have. */
export function product(one, other) {
  const [ofOne, ofOther] = [placesOf(one), placesOf(other)];
  return written(scaled(one, ofOne) * scaled(other, ofOther), ofOne + ofOther);
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

/** What each is of their sum, in percent to two places, so that they sum to 100.00: what rounding leaves over goes to
 * those that lost most by it. null each where the sum is nothing, or something is negative. */
export function parts(texts) {
  const places = finest(texts);
  const values = texts.map((text) => scaled(text, places));
  const total = values.reduce((sum, value) => sum + value, 0n);
  if (total <= 0n || values.some((value) => value < 0n)) return texts.map(() => null);
  const floors = values.map((value) => (value * HUNDRED_PERCENT) / total);
  const left = Number(HUNDRED_PERCENT - floors.reduce((sum, floor) => sum + floor, 0n));
  const lost = values.map((value, index) => ({ index, rest: (value * HUNDRED_PERCENT) % total }));
  lost.sort((one, other) => (one.rest === other.rest ? one.index - other.index : one.rest < other.rest ? 1 : -1));
  for (const { index } of lost.slice(0, left)) floors[index] += 1n;
  return floors.map((hundredths) => {
    const digits = String(hundredths).padStart(3, "0");
    return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
  });
}
