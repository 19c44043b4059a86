// Which positions are shown, and in which order: derivatives, and what each broker has beside them. Pure.

import { hasWords, inHeldOrder, sortedBy } from "./book_model.js";
import { sign } from "./format.js";

export const KINDS = {
  DERIVATIVE: "Derivatives", FUTURE: "Futures", OPTION: "Options",
  INTRADAY: "Intraday", SALE_OF_HOLDING: "Sold from holdings", CLOSED_DELIVERY: "Bought and sold today",
};
export const MOVES = { GAIN: "Gaining today", LOSS: "Losing today", OPEN: "Open", CLOSED: "Closed", UNPRICED: "Without price" };
/** What a column is sorted by; of derivatives some are called otherwise, and those without such a field stay as they come. */
const COLUMNS = {
  name: "symbol", quantity: "quantity", average: "avg_price", last: "current_price",
  day: "day_pnl", unrealised: "unrealized_pnl", realised: "realized_pnl",
};
const OF_DERIVATIVES = { ...COLUMNS, quantity: "net_quantity", average: undefined };
const haystacks = new WeakMap();

const linesOf = (row) => row.broker_positions ?? [row];
const quantityOf = (row) => row.net_quantity ?? row.quantity;

export const derivativeKey = ({ exchange, symbol, exchange_token, matched, broker_positions: [first] }) =>
  [exchange, symbol, exchange_token, matched || first.connection_id].join(" ");
export const tradeKey = ({ connection_id, exchange, symbol, product, kind }) => [connection_id, exchange, symbol, product, kind].join(" ");

/** The rows of one table as `wish` has them: {text, broker, kind, move, sort, reversed}. `held`: keys whose order is to stay. */
export function arrangePositions(rows, wish, { keyOf, held = null }) {
  const matching = narrowed(rows, wish);
  if (held) return inHeldOrder(matching, held, keyOf);
  const field = (rows[0]?.broker_positions ? OF_DERIVATIVES : COLUMNS)[wish.sort];
  const isName = wish.sort === "name";
  return field ? sortedBy(matching, field, isName !== wish.reversed, isName) : matching;
}

function narrowed(rows, { text, broker, kind, move }) {
  const tests = [
    text && hasWords(text, haystack),
    broker && ((row) => linesOf(row).some(({ broker_id }) => broker_id === broker)),
    kind && ((row) => kindsOf(row).includes(kind)),
    move && ((row) => movesOf(row).includes(move)),
  ].filter(Boolean);
  return rows.filter((row) => tests.every((test) => test(row)));
}

/** The names that brokers have for it, in small letters, made once for each row object. */
function haystack(row) {
  if (!haystacks.has(row)) {
    const names = [row.underlying, row.strike, row.option_type, row.exchange, ...linesOf(row).map(({ symbol }) => symbol), row.symbol];
    haystacks.set(row, names.filter(Boolean).join(" ").toLowerCase());
  }
  return haystacks.get(row);
}

/** Of a contract that nobody can name nobody says whether it is a future. */
function kindsOf({ kind, underlying, strike }) {
  if (kind) return [kind];
  return underlying === null ? ["DERIVATIVE"] : ["DERIVATIVE", strike === null ? "FUTURE" : "OPTION"];
}

/** A contract is open wherever one account has it open, long here and short there as well. */
function movesOf(row) {
  const isOpen = sign(quantityOf(row)) !== 0 || linesOf(row).some(({ quantity }) => sign(quantity) !== 0);
  const isSale = row.kind === "SALE_OF_HOLDING";
  const gain = row.day_pnl === null ? 0 : sign(row.day_pnl);
  return [
    ...(gain ? [gain > 0 ? "GAIN" : "LOSS"] : []),
    isOpen && !isSale ? "OPEN" : "CLOSED",
    ...(row.current_price === null ? ["UNPRICED"] : []),
  ];
}
