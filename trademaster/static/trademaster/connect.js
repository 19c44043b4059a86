// The page that connects a broker: one card each, from the API's own list.

import { ApiError, call, logInAt } from "./api.js";
import { STATUSES } from "./connections.js";
import { announce, chips, keyed, say, sayLinked } from "./dom.js";

const trouble = document.getElementById("trouble");

async function refresh() {
  const [brokers, connections] = await Promise.all([call("GET", "brokers"), call("GET", "brokers/connections")]);
  document.getElementById("loading").hidden = true;
  keyed(document.getElementById("choices"), brokers, (broker) => broker.broker_type, "choice-template", (slots, broker, node) => {
    const own = connections.filter((connection) => connection.broker_type === broker.broker_type);
    fill(slots, broker, own);
    if (!node.dataset.broker) listenTo(slots, broker);
    node.dataset.broker = broker.broker_type;
    node.id = broker.broker_type;
  });
}

function fill(slots, broker, own) {
  const { name, app_configured: configured, login_by_redirect: redirect, login_methods: methods } = broker;
  say(slots.name, name);
  chips(slots.accounts, own.map(({ account_id, status }) => {
    const { word, tone } = STATUSES[status];
    return { text: `${account_id} · ${word}`, tone };
  }));
  slots.registration.hidden = !redirect;
  say(slots.register, `Make an API app at ${name}`);
  say(slots.address, broker.redirect_uri);

  const keyless = methods.filter((method) => !method.needs_app);
  slots.keys.hidden = !redirect && keyless.length === methods.length;
  say(slots.give, `Store your ${name} API keys`);
  chips(slots.configured, [configured ? { text: "stored", tone: "good" } : { text: "not stored yet", tone: keyless.length ? "plain" : "warn" }]);
  const spared = keyless.length ? ` Not needed to log in by “${labels(keyless)}”.` : "";
  say(slots.kept, `Kept encrypted; nobody, you included, can read them here again.${spared}`);
  keyed(slots.inputs, broker.app_fields, (field) => field.name, "input-template", fillInput);
  say(slots.save, configured ? "Replace" : "Store");
  slots.remove.hidden = !configured;

  const posting = broker.postback ? own.filter(({ status }) => status !== "DISCONNECTED") : [];
  slots.news.hidden = posting.length === 0;
  say(slots.instruction, broker.postback ? `${name} can post to an address of TradeMaster when an order changes. ${broker.postback.instruction}` : "");
  keyed(slots.addresses, posting, ({ id }) => id, "address-template", (parts, connection, node) => {
    say(parts.whose, connection.account_id);
    if (!node.dataset.listening) listenForAddress(slots, parts, connection);
    node.dataset.listening = "yes";
  });

  say(slots.how, how(broker));
  const first = { label: `${own.length ? "Log in again at" : "Connect"} ${name}`, ready: configured || (!redirect && keyless.length > 0) };
  const byForm = redirect ? methods : [];
  const others = byForm.map((method) => ({ name: method.name, label: `By form: ${method.label}`, ready: configured || !method.needs_app }));
  keyed(slots.ways, [first, ...others], (way) => way.name ?? "", "way-template", (_, way, button) => {
    say(button, way.label);
    button.disabled = !way.ready;
    button.classList.toggle("primary", way === first);
    button.onclick = () => attempt(slots, () => logInAt(broker.broker_type, way.name));
  });
}

function fillInput({ label, input, help }, field) {
  say(label, field.required ? field.label : `${field.label} (optional)`);
  sayLinked(help, field.help);
  Object.assign(input, { name: field.name, type: field.secret ? "password" : "text", required: field.required });
}

const labels = (methods) => methods.map(({ label }) => label).join("”, “");

function how({ name, login_by_redirect, login_methods, session_ends_at }) {
  const lasts = session_ends_at ? `lasts until ${session_ends_at.slice(0, 5)} IST` : "lasts a day";
  const ours = "a form of TradeMaster, where what you type is used once and kept nowhere";
  const there = login_by_redirect
    ? `You go to ${name}’s own page and come back by yourself.`
    : `${name} has no login page to send you to: you get ${ours}.`;
  const besides = login_by_redirect && login_methods.length ? ` By “${labels(login_methods)}” you get ${ours}.` : "";
  return `${there}${besides} A login not finished in ten minutes lapses. The session ${lasts}.`;
}

function listenForAddress(slots, parts, { id, account_id }) {
  const path = `brokers/connections/${id}/postback`;
  const show = ({ exists, address = null }) => {
    say(parts.make, exists ? "Make a new address" : "Make an address");
    parts.void.hidden = !exists;
    say(parts.address, address ?? "");
    parts.made.hidden = address === null;
  };
  parts.make.addEventListener("click", () => attempt(slots, async () => {
    show(await call("POST", path));
    announce(`The address for news of orders of ${account_id} is made.`);
  }));
  parts.void.addEventListener("click", () => attempt(slots, async () => {
    await call("DELETE", path);
    show({ exists: false });
    announce(`The address for news of orders of ${account_id} is void.`);
  }));
  parts.copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(parts.address.textContent);
    announce("The address is copied.");
  });
  attempt(slots, async () => show(await call("GET", path)));
}

async function attempt(slots, work) {
  slots.trouble.hidden = true;
  try {
    await work();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    slots.trouble.textContent = error.message;
    slots.trouble.hidden = false;
  }
}

function listenTo(slots, broker) {
  const app = `brokers/apps/${broker.broker_type}`;
  slots.copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(broker.redirect_uri);
    say(slots.copy, "Copied");
    announce(`The redirect address for ${broker.name} is copied.`);
    setTimeout(() => say(slots.copy, "Copy"), 2000);
  });
  slots.app.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(slots, async () => {
      await call("PUT", app, Object.fromEntries(new FormData(slots.app)));
      slots.app.reset();
      announce(`The keys for ${broker.name} are stored.`);
      await refresh();
    });
  });
  slots.remove.addEventListener("click", () => attempt(slots, async () => {
    await call("DELETE", app);
    announce(`The keys for ${broker.name} are removed.`);
    await refresh();
  }));
}

try {
  await refresh();
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  trouble.textContent = error.message;
  trouble.hidden = false;
}
