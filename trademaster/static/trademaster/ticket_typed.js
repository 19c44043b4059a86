// What is wrong with what was typed into the ticket, in words. What is empty is only not typed yet.

const NAMES = { quantity: "Quantity", price: "Price", trigger_price: "Trigger" };
const LIKE = { quantity: "10", price: "1531.20", trigger_price: "1531.20" };

/** `typed`: {quantity, price, …} as it stands in the fields, without commas. */
export function mistakes(typed) {
  return Object.entries(typed).filter(([, text]) => text).map(([name, text]) => {
    const words = wrong(text);
    return words && { words: `${NAMES[name]}: “${text}” ${words}`, remedy: `Write it in digits, such as ${LIKE[name]}.` };
  }).filter(Boolean);
}

function wrong(text) {
  if (!/^[-+−]?\d*\.?\d*$/.test(text) || !/\d/.test(text)) return "is no number.";
  if (/^[-−]/.test(text) || !/[1-9]/.test(text)) return "is not above 0.";
  if (/\.\d{5}/.test(text)) return "has more than four places behind the point.";
  return /^\d+(\.\d+)?$/.test(text) ? "" : "is not whole.";
}
