// The REST API, with the session cookie and the CSRF token of the page's own form.

export class ApiError extends Error {
  /** `status`: HTTP's; null where no answer came. */
  constructor({ code, message, remedy, details = null, status = null }) {
    super([message, remedy].filter(Boolean).join(" "));
    Object.assign(this, { code, details, status });
  }

  /** Whether the same, asked again, would be answered in the same way. */
  get isFinal() {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }
}

const UNREACHABLE = { code: "unreachable", message: "TradeMaster did not answer.", remedy: "Check your network and try again." };
const UNREADABLE = { code: "unreadable", message: "TradeMaster answered with an error.", remedy: "Try again in a minute." };

/** The decoded answer, null for an empty one. `more`: headers beside the usual ones. Throws ApiError. */
export async function call(method, path, body, more = {}) {
  const headers = { "X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]").value, ...more };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error instanceof TypeError) throw new ApiError(UNREACHABLE);
    throw error;
  }
  if (response.status === 204) return null;
  const { status } = response;
  if (!response.headers.get("Content-Type")?.includes("json")) throw new ApiError({ ...UNREADABLE, status });
  const answer = await response.json();
  if (answer.error?.code === "step_up_required") {
    location.assign(`${answer.error.details.url}?next=${encodeURIComponent(location.pathname + location.search + location.hash)}`);
  }
  if (!response.ok) throw new ApiError({ ...(answer.error ?? UNREADABLE), status });
  return answer;
}

/** What is said of a refusal: where single fields were refused, each of them by name, and why. */
export function withFields({ code, message, details }) {
  if (code !== "invalid_input" || !details) return message;
  return Object.entries(details).map(([name, said]) => `${name.replaceAll("_", " ")}: ${[said].flat().join(" ")}`).join(" ");
}

/** Leave for the broker's own login page; for a form of ours where it has none, or where `method` names one.
 * `more`: the page to return to, and the connection it is for. What the page says a login agrees to is told by version. */
export async function logInAt(brokerType, method, more = {}) {
  const consent = document.querySelector("[data-consent]")?.dataset.consent;
  const wanted = { broker_type: brokerType, method, consent, ...more };
  const { authorization_url } = await call("POST", "brokers/connect/initiate", wanted);
  location.assign(authorization_url);
}
