// Exact sums of decimal strings, for what the page adds up by itself.

const PLACES = 8;
const WHOLE = 10_000n;

/** Hundred-millionths, as a whole number. */
function scaled(text) {
  const [, minus, whole, fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  const digits = BigInt(whole + fraction.slice(0, PLACES).padEnd(PLACES, "0"));
  return minus ? -digits : digits;
}

function written(units) {
  const digits = String(units < 0n ? -units : units).padStart(PLACES + 1, "0");
  const fraction = digits.slice(-PLACES).replace(/0{1,6}$/, "");
  return `${units < 0n ? "-" : ""}${digits.slice(0, -PLACES)}.${fraction}`;
}

export const added = (texts) => written(texts.reduce((sum, text) => sum + scaled(text), 0n));

/** What each is of their sum, in percent to two places, so that they sum to 100.00: what rounding leaves over goes to
 * those that lost most by it. null each where the sum is nothing, or something is negative. */
export function parts(texts) {
  const values = texts.map(scaled);
  const total = values.reduce((sum, value) => sum + value, 0n);
  if (total <= 0n || values.some((value) => value < 0n)) return texts.map(() => null);
  const floors = values.map((value) => (value * WHOLE) / total);
  const left = Number(WHOLE - floors.reduce((sum, floor) => sum + floor, 0n));
  const lost = values.map((value, index) => ({ index, rest: (value * WHOLE) % total }));
  lost.sort((one, other) => (one.rest === other.rest ? one.index - other.index : one.rest < other.rest ? 1 : -1));
  for (const { index } of lost.slice(0, left)) floors[index] += 1n;
  return floors.map((hundredths) => {
    const digits = String(hundredths).padStart(3, "0");
    return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
  });
}
