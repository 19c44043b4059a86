// The page for when TradeMaster cannot be reached: as soon as it answers, what was asked for is asked for again.

const AGAIN_MS = 5000;
const page = document.documentElement;
// Under its own address it was asked for, and not put in another page's stead: it leaves only if it saw the way back.
const isItself = location.pathname === page.dataset.offline;
const state = { wasAway: !isItself, isLooking: false };

async function look() {
  if (state.isLooking) return;
  state.isLooking = true;
  try {
    const { ok } = await fetch(page.dataset.probe, { method: "HEAD", cache: "no-store" });
    if (ok && state.wasAway) return isItself ? location.replace("/") : location.reload();
    state.wasAway ||= !ok;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // how fetch says that nobody answered
    state.wasAway = true;
  } finally {
    state.isLooking = false;
  }
}

addEventListener("online", look);
addEventListener("offline", look);
setInterval(look, AGAIN_MS);
