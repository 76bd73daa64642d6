// One's own password, and tokens for scripts.
import { post, put, remove } from "../api.js";
import { html, useState } from "../lib.js";
import { Copy, Empty, Loaded, Panel, Time } from "../parts.js";
import { useData } from "../state.js";

export function Account({ user, loggedOut }) {
  return html`<div class="view-head"><h1 tabindex="-1">Account <span class="muted">${user}</span></h1></div>
    <div class="cards"><${Password} loggedOut=${loggedOut} /><${Tokens} /></div>`;
}

function Password({ loggedOut }) {
  const [error, setError] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    if (form.get("new") !== form.get("again")) { setError("The new password and its repetition differ."); return; }
    try {
      await put("/api/me/password", { current: form.get("current"), new: form.get("new") });
      loggedOut();
    } catch (problem) { setError(problem.message); }
  };
  return html`<${Panel} title="Password" className="card"><form class="stack" onSubmit=${submit}>
    <label class="field"><span>Current password</span><input name="current" type="password" autocomplete="current-password" required maxlength="256" /></label>
    <label class="field"><span>New password</span><input name="new" type="password" autocomplete="new-password" required minlength="10" maxlength="256" /></label>
    <label class="field"><span>New password again</span><input name="again" type="password" autocomplete="new-password" required minlength="10" maxlength="256" /></label>
    ${error && html`<p class="form-error" role="alert">${error}</p>`}
    <button class="button primary">Change password</button><p class="note">All your sessions end, and you log in anew.</p></form><//>`;
}

function Tokens() {
  const tokens = useData("/api/tokens");
  const [fresh, setFresh] = useState(null);
  const [error, setError] = useState("");
  const create = async (event) => {
    event.preventDefault();
    const form = event.target;
    try {
      setFresh(await post("/api/tokens", { name: new FormData(form).get("name") }));
      setError("");
      form.reset();
      tokens.reload();
    } catch (problem) { setError(problem.message); }
  };
  const revoke = async (id) => { await remove(`/api/tokens/${id}`); tokens.reload(); };
  return html`<${Panel} title="Tokens for scripts" className="card"><form class="stack" onSubmit=${create}>
    <label class="field"><span>What is it for?</span><input name="name" required maxlength="64" /></label>
    ${error && html`<p class="form-error" role="alert">${error}</p>`}
    <button class="button">Create token</button></form>
    ${fresh && html`<div class="fresh" role="status"><p>Copy it now, it is not shown again:</p><code>${fresh.key}</code> <${Copy} text=${fresh.key} what="token" /></div>`}
    <${Loaded} from=${tokens} rows="2" empty=${html`<${Empty} title="No tokens">Scripts send one as <code>Authorization: Bearer …</code>; the endpoints are listed at <a href="/api/openapi.json">/api/openapi.json</a>.<//>`}>${(rows) => html`<ul class="plain-list">${rows.map((t) => html`<li key=${t.id}><b>${t.name}</b> <span class="muted">created <${Time} at=${t.created} />, ${t.used ? html`used <${Time} at=${t.used} />` : "never used"}</span> <button type="button" class="quiet danger" onClick=${() => revoke(t.id)} aria-label=${`Revoke ${t.name}`}>Revoke</button></li>`)}</ul>`}<//><//>`;
}
