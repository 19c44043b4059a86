// How fast each connection answers: asked of the health API at once, and each minute while somebody looks.

import { ApiError, call } from "./api.js";

const EVERY_MS = 60_000;
const NOT_ASKED = { ms: null, why: "not asked yet" };
const NOT_TOLD = { ms: null, why: "not known: TradeMaster did not tell it" };
const NOT_MEASURED = { ms: null, why: "not measured: no check of the last 24 hours succeeded" };

let times = new Map();
let otherwise = NOT_ASKED;

/** `ms` as text, or null; then `why` says what is missing. */
export const answerTime = (connectionId) => times.get(connectionId) ?? otherwise;

async function read() {
  try {
    const { brokers = [] } = await call("GET", "health/brokers");
    const own = brokers.flatMap(({ connections }) => connections);
    times = new Map(own.map(({ id, p95_ms }) => [id, p95_ms === null ? NOT_MEASURED : { ms: String(p95_ms), why: "" }]));
    otherwise = NOT_MEASURED;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    times = new Map();
    otherwise = NOT_TOLD;
  }
}

/** Calls `onNews` after each answer. */
export function watchAnswerTimes(onNews) {
  const look = () => document.hidden || read().then(onNews);
  setInterval(look, EVERY_MS);
  addEventListener("visibilitychange", look);
  look();
}
