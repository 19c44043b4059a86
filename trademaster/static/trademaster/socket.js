// One websocket that comes back: every new connection begins with a SNAPSHOT, so nothing that was missed matters.

const NOT_SIGNED_IN = 4401;
const SILENCE_MS = 40_000; // the server speaks at least every 15 s
const LONGEST_WAIT_MS = 15_000;
const LEAVING_MS = 10_000; // how long the next page may take to come

/** Answers a function that sends an object, where the line is open. Calls `onMessage(message)` for each message, `onState("open" | "lost")` when the line comes and goes.
 * A handshake that is refused tells no reason: `onRefused` is called after each, to find it out. */
export function listen(path, { onMessage, onState, onRefused }) {
  const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
  let attempts = 0;
  let current, retry, silence;
  // Signing out closes the line before the next page is here: that is no news, and asking why would only be refused.
  let leftAt = -LEAVING_MS;
  addEventListener("beforeunload", () => (leftAt = performance.now()));
  const isLeaving = () => performance.now() - leftAt < LEAVING_MS;

  function open() {
    clearTimeout(retry);
    const socket = new WebSocket(address);
    current = socket;
    socket.onmessage = ({ data }) => {
      attempts = 0;
      clearTimeout(silence);
      silence = setTimeout(() => lost(socket), SILENCE_MS);
      onState("open");
      onMessage(JSON.parse(data));
    };
    socket.onclose = ({ code }) => {
      if (!isLeaving() && (code === NOT_SIGNED_IN || attempts > 0)) onRefused();
      lost(socket);
    };
  }

  function lost(socket) {
    socket.onmessage = socket.onclose = null;
    socket.close();
    clearTimeout(silence);
    onState("lost");
    const wait = isLeaving() ? 2 * LEAVING_MS : Math.min(LONGEST_WAIT_MS, 500 * 2 ** attempts++);
    retry = setTimeout(open, wait * (0.5 + Math.random() / 2));
  }

  open();
  return (message) => {
    if (current.readyState === WebSocket.OPEN) current.send(JSON.stringify(message));
  };
}
