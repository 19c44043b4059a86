// Passkeys. The ceremony is django-allauth's script; here its buttons are found, and shown only where it can work.

// Browsers offer passkeys under a name alone, by https or at localhost; never under a number.
const possible = "PublicKeyCredential" in window && !/^[\d.]+$|:/.test(location.hostname);
const ids = { credential: "id_credential" };
const asked = { ...ids, data: "js_data" };
const { loginForm, authenticateForm, addForm } = window.allauth.webauthn.forms;
const ceremonies = {
  passkey_login: (login) => loginForm({ ids: { ...ids, login } }),
  mfa_webauthn_authenticate: (authenticate) => authenticateForm({ ids: { ...asked, authenticate } }),
  mfa_webauthn_reauthenticate: (authenticate) => authenticateForm({ ids: { ...asked, authenticate } }),
  mfa_webauthn_add: (add) => addForm({ ids: { ...asked, add, passwordless: "id_passwordless" } }),
};

for (const [id, begin] of Object.entries(ceremonies)) {
  const button = document.getElementById(id);
  if (!button) continue;
  button.hidden = !possible;
  if (possible) begin(id);
}
for (const note of document.querySelectorAll("[data-passkeys=no]")) note.hidden = possible;
// Somebody pressed Cancel, or the device refused: the page stays as it is, and says nothing in the console.
document.addEventListener("allauth.error", (event) => event.preventDefault());
