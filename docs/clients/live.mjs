// Follow a portfolio as it moves: node live.mjs ws://127.0.0.1:8000 <the sessionid cookie>
//
// Prints the total value with every message. Needs Node 22; 20.19 with --experimental-websocket does too. In a page of
// TradeMaster itself `new WebSocket(address)` is enough: the browser sends the cookie and the origin.

import { applyDelta } from "../../trademaster/static/trademaster/delta.js";

const LONGEST_SILENCE_MS = 40_000;
const [address, session] = process.argv.slice(2);
const headers = { cookie: `sessionid=${session}`, origin: address.replace(/^ws/, "http") };
let attempts = 0;

function open() {
  let portfolio = null;
  let book = null;
  let number = null;
  let silence;
  const socket = new WebSocket(`${address}/ws/portfolio/`, { headers });

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
    setTimeout(open, Math.min(15_000, 500 * 2 ** attempts++) * (0.5 + Math.random() / 2));
  };
}

open();
