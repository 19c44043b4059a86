// The page of one broker: the server renders it; here keys go in, logins begin, and what was changed is shown again.

import { ApiError, call, logInAt, withFields } from "./api.js";
import { announce, say } from "./dom.js";
import { takeOver } from "./morph.js";

const COPIED_MILLISECONDS = 2000;
const NOT_READ = {
  code: "not_read_again",
  message: "That is done, but this page could not be read again: the rest of it is as it was before.",
  remedy: "Copy what is shown this once, if anything is, and then reload the page.",
};
const page = document.querySelector(".way");
const slug = page.id;
const name = document.querySelector("h1").textContent;

/** What the server says of this page now, as words of HTML; null where it says nothing, or of another page. */
async function readAgain() {
  try {
    const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
    return answer.ok && !answer.redirected ? await answer.text() : null;
  } catch (error) {
    if (error instanceof TypeError) return null; // how fetch says that nobody answered
    throw error;
  }
}

/** Take over what the page says now. What was pressed may be gone then: `place` keeps the focus near.
 * The page is never reloaded: what is shown once may stand on it. Throws ApiError. */
async function refresh(place) {
  const words = await readAgain();
  if (words === null) throw new ApiError(NOT_READ);
  const held = document.activeElement;
  held?.blur();
  takeOver(new DOMParser().parseFromString(words, "text/html"));
  const near = held?.isConnected ? held : place?.querySelector("button, input, summary");
  near?.focus({ preventScroll: true });
}

/** What goes wrong is told beside what was pressed. */
async function attempt(pressed, work) {
  const place = pressed.closest("form:has([data-trouble]), .posting, li");
  const trouble = place.querySelector("[data-trouble]");
  trouble.hidden = true;
  pressed.disabled = true;
  try {
    await work(place);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say(trouble, withFields(error));
    trouble.hidden = false;
  } finally {
    pressed.disabled = false;
  }
}

/** Without TLS, and but for this machine itself, browsers lend out no clipboard: the words are then selected. */
async function copy(button) {
  const words = button.parentElement.querySelector("code");
  if (!navigator.clipboard) {
    getSelection().selectAllChildren(words);
    return announce(`${button.dataset.copy} is selected: copy it with Ctrl and C.`);
  }
  await navigator.clipboard.writeText(words.textContent);
  say(button, "Copied");
  announce(`${button.dataset.copy} is copied.`);
  setTimeout(() => say(button, "Copy"), COPIED_MILLISECONDS);
}

function logIn(button) {
  const { method, connection } = button.dataset;
  return attempt(button, () => logInAt(slug, method || undefined, connection ? { connection_id: connection } : {}));
}

function posting(button, verb, connection) {
  const { account } = button.dataset;
  return attempt(button, async (place) => {
    const answer = await call(verb, `brokers/connections/${connection}/postback`);
    const made = place.querySelector("[data-made]");
    made.hidden = answer === null;
    say(made.querySelector("code"), answer?.address ?? "");
    announce(`The address for news of orders of ${account} is ${answer ? "made" : "void"}.`);
    await refresh(place);
  });
}

function storeKeys(form, button) {
  return attempt(button, async (place) => {
    await call("PUT", `brokers/apps/${slug}`, Object.fromEntries(new FormData(form)));
    form.reset();
    announce(`The keys for ${name} are stored.`);
    await refresh(place);
  });
}

function removeKeys(button) {
  return attempt(button, async (place) => {
    await call("DELETE", `brokers/apps/${slug}`);
    announce(`The keys for ${name} are removed.`);
    await refresh(place);
  });
}

function disconnect(button) {
  return attempt(button, async (place) => {
    await call("DELETE", `brokers/connections/${button.dataset.disconnect}`);
    announce("The account is disconnected.");
    await refresh(place);
  });
}

function saveAddress(form, button) {
  return attempt(button, async () => {
    const registered_ip = form.elements.registered_ip.value.trim() || null;
    await call("PATCH", `brokers/connections/${form.dataset.address}`, { registered_ip });
    announce(registered_ip ? `${registered_ip} is noted.` : "No address is noted any more.");
    await refresh(form);
  });
}

const PRESSED = [
  ["[data-copy]", copy],
  ["[data-login]", logIn],
  ["[data-make]", (button) => posting(button, "POST", button.dataset.make)],
  ["[data-void]", (button) => posting(button, "DELETE", button.dataset.void)],
  ["[data-remove]", removeKeys],
  ["[data-disconnect]", disconnect],
];

document.addEventListener("click", ({ target }) => {
  for (const [selector, act] of PRESSED) {
    const button = target.closest(selector);
    if (button) return act(button);
  }
});

// A page that is left for a fresh proof comes back empty: the proof is asked for before anything is typed, not after.
document.addEventListener("focusin", ({ target }) => {
  const form = target.closest?.("form[data-until]");
  const isEmpty = form && [...new FormData(form).values()].every((typed) => typed === "");
  if (isEmpty && Date.now() >= Date.parse(form.dataset.until)) location.assign(`${form.dataset.proof}?next=${encodeURIComponent(location.pathname)}`);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  const act = "keys" in form.dataset ? storeKeys : "address" in form.dataset ? saveAddress : null;
  if (!act) return;
  event.preventDefault();
  act(form, event.submitter ?? form.querySelector("[type=submit]"));
});
