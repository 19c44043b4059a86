// The page that connects a broker: one card each, from the API's own list.

import { ApiError, call, logInAt } from "./api.js";
import { STATUSES } from "./connections.js";
import { announce, chips, keyed, say } from "./dom.js";

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
  say(slots.name, broker.name);
  say(slots.at, broker.name);
  say(slots.address, broker.redirect_uri);
  chips(slots.accounts, own.map(({ account_id, status }) => {
    const { word, tone } = STATUSES[status];
    return { text: `${account_id} · ${word}`, tone };
  }));
  const configured = broker.app_configured;
  chips(slots.configured, [configured ? { text: "saved", tone: "good" } : { text: "not given yet", tone: "warn" }]);
  say(slots.save, configured ? "Replace" : "Save");
  slots.remove.hidden = !configured;
  slots.connect.disabled = !configured;
  say(slots.connect, `${own.length ? "Log in again at" : "Connect"} ${broker.name}`);
}

function listenTo(slots, broker) {
  const app = `brokers/apps/${broker.broker_type}`;
  const attempt = (work) => async (event) => {
    event.preventDefault();
    slots.trouble.hidden = true;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      slots.trouble.textContent = error.message;
      slots.trouble.hidden = false;
    }
  };
  slots.copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(broker.redirect_uri);
    say(slots.copy, "Copied");
    announce(`The redirect address for ${broker.name} is copied.`);
    setTimeout(() => say(slots.copy, "Copy"), 2000);
  });
  slots.app.addEventListener("submit", attempt(async () => {
    await call("PUT", app, Object.fromEntries(new FormData(slots.app)));
    slots.app.reset();
    announce(`Key and secret for ${broker.name} are saved.`);
    await refresh();
  }));
  slots.remove.addEventListener("click", attempt(async () => {
    await call("DELETE", app);
    announce(`Key and secret for ${broker.name} are removed.`);
    await refresh();
  }));
  slots.connect.addEventListener("click", attempt(() => logInAt(broker.broker_type)));
}

try {
  await refresh();
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  trouble.textContent = error.message;
  trouble.hidden = false;
}
