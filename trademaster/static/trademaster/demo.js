// The demo's switchboard and checklist: forms that work without this, sent in place; and what the server says now.

import { say } from "./dom.js";

const REREAD_MILLISECONDS = 3000;
const LOGIN = "/login";
const parts = () => [...document.querySelectorAll("[data-part][data-live]")];
let asking = null; // what is being asked; `again`: what has happened since is not in it
let sending = false;

/** Nobody answered, or nobody who could. */
class Unanswered extends Error {}

async function asked(address, options) {
  try {
    const response = await fetch(address, { headers: { Accept: "text/html" }, ...options });
    return { response, words: await response.text() };
  } catch (error) {
    throw error instanceof TypeError ? new Unanswered(error.message) : error;
  }
}

/** The document that comes. Throws Unanswered. */
async function read(address, options) {
  const { response, words } = await asked(address, options);
  if (new URL(response.url).pathname === LOGIN) location.assign(`${LOGIN}?next=${encodeURIComponent(location.pathname)}`);
  // Put away, or gone since this page was loaded: nothing is left of it.
  if (response.status === 204) return document.implementation.createHTMLDocument();
  if (!response.ok) throw new Unanswered(`${response.status}`);
  return new DOMParser().parseFromString(words, "text/html");
}

/** Take over what a part says now. Whatever had the focus in it, or its successor, has it again. */
function takeOver(mine, fresh) {
  if (mine.innerHTML === (fresh?.innerHTML ?? "")) return;
  const held = mine.contains(document.activeElement) ? document.activeElement.id : "";
  mine.replaceChildren(...[...(fresh?.childNodes ?? [])].map((node) => document.importNode(node, true)));
  if (held) (document.getElementById(held) ?? mine.querySelector("button, a"))?.focus({ preventScroll: true });
}

async function reread() {
  if (asking) return (asking.again = true);
  asking = { again: false };
  try {
    const waiting = parts();
    for (const address of new Set(waiting.map((part) => part.dataset.live))) {
      const fresh = await read(address);
      for (const part of waiting.filter(({ dataset }) => dataset.live === address)) takeOver(part, fresh.querySelector(`[data-part="${part.dataset.part}"]`));
    }
    offline(false);
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    offline(true);
  } finally {
    const { again } = asking;
    asking = null;
    if (again) reread();
  }
}

function offline(is) {
  for (const notice of document.querySelectorAll("[data-offline]")) notice.hidden = !is;
}

/** What the house says of it, where the button is; it stays until the next press. */
function tell(form, words, tone) {
  const place = (form.closest("section") ?? document).querySelector("[data-said]") ?? document.querySelector("[data-said]");
  if (!place) return;
  const line = place.querySelector("p") ?? place.appendChild(document.createElement("p"));
  line.className = `notice ${tone}`;
  say(line, words);
}

async function send(form, button) {
  if (sending) return;
  sending = true;
  const body = new FormData(form, button);
  body.set("back", "demo"); // the page that shows what is said of it
  try {
    const fresh = await read(button.getAttribute("formaction") ?? form.action, { method: "POST", body });
    const told = fresh.querySelector(".messages .notice");
    if (told) tell(form, told.textContent, told.classList.contains("bad") ? "bad" : "good");
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    tell(form, "TradeMaster did not answer: it is not known whether the switch was turned. Look at it again in a moment.", "bad");
  } finally {
    sending = false;
  }
  await reread();
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-demo-form]") || !event.submitter) return;
  event.preventDefault();
  send(event.target, event.submitter);
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) reread();
});
setInterval(() => {
  if (!document.hidden && !asking) reread();
}, REREAD_MILLISECONDS);
reread();
