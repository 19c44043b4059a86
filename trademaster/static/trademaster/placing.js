// Sending an order once: a key is made for the ticket, and kept until an answer came. Whoever asks again after a lost
// reply sends the same key and the same body, and gets the same order.

import { ApiError, call } from "./api.js";

const KEPT = "trademaster.order";
// After these nobody knows whether the order was taken in; every other refusal says that it was not.
const OPEN_ENDED = new Set([
  "unreachable", "unreadable", "server_error", "not_ready", "throttled", "not_authenticated", "csrf_failed", "step_up_required",
]);

/** 32 random hexadecimal digits. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One order under way: `{user, key, path, body, words, isLost}`. It outlives a reload of the page, in this tab alone. */
export class Placing {
  #key = newKey();
  #user;
  #flight = null;

  /** `user`: whose page it is. An order that anybody else left in this tab is dropped: it would be sent as theirs. */
  constructor(user) {
    this.#user = user;
    this.pending = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    if (this.pending && this.pending.user !== user) this.forget();
    // A page that was left while an order was under way never saw its answer.
    if (this.pending) this.#keep({ ...this.pending, isLost: true });
  }

  /** Whether an order left, or may have, of which no answer came. */
  get isLost() {
    return this.pending?.isLost ?? false;
  }

  /** `path`: of the API; `words`: what it is, for people. Answers {answer}, or {refused}, {lost}, {duplicate}: an ApiError. */
  async place(path, body, words) {
    this.#keep({ user: this.#user, key: this.#key, path, body, words, isLost: false });
    return this.#send();
  }

  /** The same again, after a lost reply. */
  again() {
    return this.#send();
  }

  /** The same, though one like it was placed a moment ago. */
  confirmed() {
    this.#keep({ ...this.pending, body: { ...this.pending.body, confirm_duplicate: true } });
    return this.#send();
  }

  /** The next order is another one. */
  forget() {
    this.pending = null;
    this.#key = newKey();
    sessionStorage.removeItem(KEPT);
  }

  #keep(pending) {
    this.pending = pending;
    sessionStorage.setItem(KEPT, JSON.stringify(pending));
  }

  /** One call at a time: whoever asks while it is under way gets its answer. */
  #send() {
    this.#flight ??= this.#call().finally(() => {
      this.#flight = null;
    });
    return this.#flight;
  }

  async #call() {
    const { key, path, body } = this.pending;
    try {
      const answer = await call("POST", path, body, { "Idempotency-Key": key });
      this.forget();
      return { answer };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (OPEN_ENDED.has(error.code)) {
        this.#keep({ ...this.pending, isLost: true });
        return { lost: error };
      }
      if (error.code === "confirm_duplicate") return { duplicate: error };
      this.forget();
      return { refused: error };
    }
  }
}
