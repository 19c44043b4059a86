// Follow a portfolio as it moves: TRADEMASTER_TOKEN=tm_… node live.mjs http://127.0.0.1:8000
//
// Prints the total value with every message. Needs Node 22; 20.19 with --experimental-websocket does too. The token is a
// personal one (Your account, API access; `read` is enough). In a page of TradeMaster itself `new WebSocket(address)` is
// enough: the browser sends the cookie and the origin.

import { applyDelta } from "../../trademaster/static/trademaster/delta.js";

const LONGEST_SILENCE_MS = 40_000;
const address = process.argv[2];
const headers = { authorization: `Bearer ${process.env.TRADEMASTER_TOKEN}` };
let attempts = 0;

/** A ticket for one socket, good for 30 seconds. */
async function ticket() {
  const answer = await fetch(`${address}/api/v1/auth/ticket`, { method: "POST", headers });
  if (answer.status === 401 || answer.status === 403) {
    console.error("The token is refused:", await answer.text());
    process.exit(1);
  }
  if (!answer.ok) throw new Error(`No ticket: HTTP ${answer.status}`);
  return (await answer.json()).ticket;
}

/** Later each time, and not when everybody else does. */
function again() {
  setTimeout(open, Math.min(15_000, 500 * 2 ** attempts++) * (0.5 + Math.random() / 2));
}

async function open() {
  let protocols;
  try {
    protocols = ["tm.v1", `ticket.${await ticket()}`];
  } catch {
    return again(); // the server restarts, or the line is broken
  }
  let portfolio = null;
  let book = null;
  let number = null;
  let silence;
  const socket = new WebSocket(`${address.replace(/^http/, "ws")}/ws/api/portfolio/`, protocols);

  socket.onmessage = ({ data: text }) => {
    attempts = 0;
    clearTimeout(silence);
    silence = setTimeout(() => socket.close(), LONGEST_SILENCE_MS);
    const { type, data } = JSON.parse(text);
    if (type === "SNAPSHOT") ({ portfolio, book, number } = data);
    else if (type === "PORTFOLIO_UPDATE") [portfolio, book, number] = [data, null, null];
    else if (type !== "PORTFOLIO_DELTA") return;
    else if (data.book !== book || data.number !== number + 1) return socket.send('{"type":"snapshot"}');
    else [portfolio, number] = [applyDelta(portfolio, data.delta), data.number];
    console.log(type, portfolio?.total_value ?? null);
  };
  socket.onerror = () => {}; // a close follows, and it is enough
  // A new socket begins with a snapshot, so that nothing need be remembered over a lost one.
  socket.onclose = () => {
    clearTimeout(silence);
    again();
  };
}

open();
