// Numbers and times as words. Amounts arrive as exact decimal strings and stay strings: no floating point touches them.

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;
const MINUS = "\u2212";
const calendar = new Intl.DateTimeFormat("en-IN", { timeZone: "Asia/Kolkata", day: "numeric", month: "short" });
const fullDay = new Intl.DateTimeFormat("en-IN", { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" });

function parts(text) {
  const match = DECIMAL.exec(text);
  if (!match) throw new RangeError(`Not a decimal number: ${text}`);
  return { negative: match[1] === "-", whole: match[2], fraction: match[3] ?? "" };
}

/** Thousands, then lakhs and crores: 12345678 → 1,23,45,678. */
function grouped(whole) {
  const head = whole.slice(0, -3).replace(/\B(?=(\d{2})+$)/g, ",");
  return head ? `${head},${whole.slice(-3)}` : whole;
}

function written(text, { prefix = "", plus = false } = {}) {
  const { negative, whole, fraction } = parts(text);
  const before = negative ? MINUS : plus && sign(text) > 0 ? "+" : "";
  return `${before}${prefix}${grouped(whole)}${fraction && `.${fraction}`}`;
}

export const number = (text) => written(text);
export const signedNumber = (text) => written(text, { plus: true });
export const rupees = (text) => written(text, { prefix: "₹" });
export const signedRupees = (text) => written(text, { prefix: "₹", plus: true });
export const signedPercent = (text) => `${written(text, { plus: true })}%`;
export const percent = (text) => `${written(text)}%`;

/** -1, 0 or 1. */
export function sign(text) {
  if (/^-?0*(\.0*)?$/.test(text)) return 0;
  return text.startsWith("-") ? -1 : 1;
}

// So many characters of a decimal survive in a double, and so does their order.
const EXACT_LENGTH = 15;

/** -1, 0 or 1: how `left` stands to `right`, exactly. */
export function compare(left, right) {
  if (left.length <= EXACT_LENGTH && right.length <= EXACT_LENGTH && left && right) {
    const [one, other] = [Number(left), Number(right)];
    if (one <= other || one > other) return Number(one > other) - Number(one < other);
  }
  const [a, b] = [parts(left), parts(right)];
  if (a.negative !== b.negative) return a.negative ? -1 : 1;
  const places = Math.max(a.fraction.length, b.fraction.length);
  const digits = ({ whole, fraction }) => BigInt(whole + fraction.padEnd(places, "0"));
  const [x, y] = [digits(a), digits(b)];
  if (x === y) return 0;
  return x > y !== a.negative ? 1 : -1;
}

/** Half up, away from zero, to paise: for averages, whose tail nobody reads. */
export function toPaise(text) {
  const { negative, whole, fraction } = parts(text);
  if (fraction.length <= 2) return text;
  const paise = BigInt(whole + fraction.slice(0, 2)) + (fraction[2] >= "5" ? 1n : 0n);
  const digits = String(paise).padStart(3, "0");
  return `${negative ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** `part` of `whole` in percent, half up to two places; null where it cannot be said. */
export function ratioPercent(part, whole) {
  if (part === null || whole === null || sign(whole) === 0) return null;
  const [a, b] = [parts(part), parts(whole)];
  const places = Math.max(a.fraction.length, b.fraction.length);
  const digits = ({ whole: before, fraction }) => BigInt(before + fraction.padEnd(places, "0"));
  const hundredths = String((digits(a) * 20_000n + digits(b)) / (digits(b) * 2n)).padStart(3, "0");
  const minus = a.negative !== b.negative && /[1-9]/.test(hundredths) ? "-" : "";
  return `${minus}${hundredths.slice(0, -2)}.${hundredths.slice(-2)}`;
}

/** A day, such as an expiry: 2026-11-24 → 24 Nov 2026. */
export const day = (date) => fullDay.format(new Date(date));

/** An instant in India: the time of day, with the date where that is not today. */
export function istTime(instant, now = new Date()) {
  const [there, today] = [inIndia(instant), inIndia(now)];
  const whole = Math.floor(there / 1000) % 86_400;
  const time = [whole / 3600, (whole / 60) % 60, whole % 60].map((part) => String(Math.floor(part)).padStart(2, "0")).join(":");
  return dayOf(there) === dayOf(today) ? time : `${calendar.format(new Date(instant))}, ${time}`;
}

// India's clocks are never put forward or back: its time is reckoned, as rows by the hundred tell when they are from.
const IST_MS = 19_800_000;
const inIndia = (instant) => new Date(instant).getTime() + IST_MS;
const dayOf = (moment) => Math.floor(moment / 86_400_000);

export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

export const sentence = (words) => (/[.!?]$/.test(words) ? words : `${words}.`);

export const counted = (count, singular, plural = `${singular}s`) => `${count} ${count === 1 ? singular : plural}`;

/** Half up, away from zero, to whole rupees. */
function toRupees(text) {
  const { negative, whole, fraction } = parts(text);
  const rounded = BigInt(whole) + (fraction >= "5" ? 1n : 0n);
  return `${negative && rounded ? "-" : ""}${rounded}`;
}

const CRORE = { digits: 7, hundredth: 100_000n, unit: "Cr" };
const LAKH = { digits: 5, hundredth: 1000n, unit: "L" };

/** Whole rupees, or two places of the first of these units that it has: ₹12,34,567 or ₹12.35 L, and ₹1.23 Cr. */
function short(text, units, options) {
  const { negative, whole } = parts(text);
  const fits = units.find(({ digits }) => whole.length > digits);
  if (fits === undefined) return written(toRupees(text), options);
  const hundredths = String((BigInt(whole) + fits.hundredth / 2n) / fits.hundredth);
  return `${written(`${negative ? "-" : ""}${hundredths.slice(0, -2)}.${hundredths.slice(-2)}`, options)} ${fits.unit}`;
}

export const shortRupees = (text) => short(text, [CRORE], { prefix: "₹" });
export const signedShortRupees = (text) => short(text, [CRORE], { prefix: "₹", plus: true });
export const briefRupees = (text) => short(text, [CRORE, LAKH], { prefix: "₹" });
export const signedBriefRupees = (text) => short(text, [CRORE, LAKH], { prefix: "₹", plus: true });
