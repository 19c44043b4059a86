// The risk page: the server renders it; here it is asked for again while somebody looks, and breaches are taken note of.

import { ApiError, call } from "./api.js";
import { announce } from "./dom.js";

const EVERY_MILLISECONDS = 15_000;
const body = () => document.getElementById("risk");

/** What somebody has opened, or closed, stays so. */
function opened(root) {
  return new Map([...root.querySelectorAll("details[data-keep]")].map((node) => [node.dataset.keep, node.open]));
}

async function refresh() {
  if (document.hidden || !body() || body().contains(document.activeElement?.closest("details, button, [tabindex]"))) return;
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("risk");
  if (!fresh) return;
  const before = opened(body());
  fresh.querySelectorAll("details[data-keep]").forEach((node) => {
    node.open = before.get(node.dataset.keep) ?? node.open;
  });
  body().replaceWith(document.adoptNode(fresh));
  const [old, title] = [document.querySelector("header.title"), page.querySelector("header.title")];
  if (old && title) old.replaceWith(document.adoptNode(title));
  wire();
}

async function acknowledge(button) {
  button.disabled = true;
  try {
    await call("POST", `risk/breaches/${button.dataset.acknowledge}/acknowledge`, {});
    button.replaceWith("noted");
    announce("Noted.");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    button.disabled = false;
    announce(error.message);
    button.title = error.message;
  }
}

function wire() {
  document.querySelectorAll("[data-acknowledge]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => acknowledge(button));
  });
}

wire();
setInterval(refresh, EVERY_MILLISECONDS);
