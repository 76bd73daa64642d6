// Logging in.
import { post } from "../api.js";
import { html, useEffect, useRef, useState } from "../lib.js";

export function Login({ done }) {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const user = useRef(null);
  useEffect(() => user.current?.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    setBusy(true);
    setError("");
    try {
      done((await post("/api/login", { user: form.get("user"), password: form.get("password") })).user);
    } catch (problem) {
      setError(problem.message);
      setBusy(false);
    }
  };
  return html`<main class="login" id="main"><form class="login-card" onSubmit=${submit} aria-labelledby="login-title">
    <img src="/icon.svg" alt="" width="44" height="44" /><h1 id="login-title">Eudaemon</h1>
    <p class="muted">Log in to see what the honeynet has seen.</p>
    <label class="field"><span>User</span><input ref=${user} name="user" autocomplete="username" required maxlength="64" autocapitalize="none" spellcheck="false" /></label>
    <label class="field"><span>Password</span><input name="password" type="password" autocomplete="current-password" required maxlength="256" /></label>
    ${error && html`<p class="form-error" role="alert">${error}</p>`}
    <button class="button primary" disabled=${busy}>${busy ? "Looking …" : "Log in"}</button>
    <p class="note">The first password was printed when the farm was started for the first time.</p>
  </form></main>`;
}
