// The pages of brokers' health: the server renders them; while somebody looks they are asked for again.

import { takeOver } from "./morph.js";

const EVERY_MILLISECONDS = 15_000;
const offline = document.getElementById("offline");

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.redirected) return location.reload();
  offline.hidden = Boolean(answer?.ok);
  if (answer?.ok) takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"));
}

setInterval(refresh, EVERY_MILLISECONDS);
document.addEventListener("visibilitychange", refresh);
