// Which sector each share is of, for all of a page: asked for once somebody needs it, again for shares that are new, and
// again after a failure.

import { ApiError, call } from "./api.js";

const AGAIN_MS = 60_000;
const hearers = new Set();
const state = { known: {}, areTold: false, askedAt: -Infinity, trouble: "" };

/** ISIN → sector, null where it is not known; another object whenever more is known. */
export const knownSectors = () => state.known;
/** Whether they were ever told: before that nothing can be chosen by sector. */
export const areSectorsTold = () => state.areTold;
/** Why they are not known, as a sentence; "" where they are. */
export const sectorTrouble = () => state.trouble;
/** `hear()` is called whenever more is known, or why it is not, and when it may be asked again. */
export const hearSectors = (hear) => hearers.add(hear);

/** Have the sectors of these positions asked for, where one is not told yet; each minute at most. */
export async function wantSectors({ positions }) {
  const isMissing = positions.some(({ isin }) => isin && !(isin in state.known));
  if (!isMissing || performance.now() - state.askedAt < AGAIN_MS) return;
  state.askedAt = performance.now();
  try {
    const { sectors } = await call("GET", "portfolio/sectors");
    Object.assign(state, { known: { ...state.known, ...sectors }, areTold: true, trouble: "" });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    state.trouble = `Sectors are not known: ${error.message}`;
    setTimeout(tell, AGAIN_MS); // whoever still needs them asks again then
  }
  tell();
}

function tell() {
  for (const hear of hearers) hear();
}
