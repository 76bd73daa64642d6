// The frame of the page: who is logged in, which view, the bar and the keys that work everywhere.
import { get, onLoggedOut, post } from "./api.js";
import { zone } from "./format.js";
import { html, render, useEffect, useRef, useState } from "./lib.js";
import * as live from "./live.js";
import { Icon, Problem } from "./parts.js";
import { go, path, useRoute } from "./route.js";
import { Account } from "./views/account.js";
import { Address } from "./views/address.js";
import { Credentials } from "./views/credentials.js";
import { Login } from "./views/login.js";
import { Overview } from "./views/overview.js";
import { Sample } from "./views/sample.js";
import { Samples } from "./views/samples.js";
import { Search } from "./views/search.js";
import { Sensors } from "./views/sensors.js";
import { Session } from "./views/session.js";
import { Sessions } from "./views/sessions.js";

const PLACES = [["/", "Overview", "overview"], ["/sessions", "Sessions", "sessions"], ["/credentials", "Credentials", "credentials"], ["/samples", "Samples", "samples"], ["/sensors", "Sensors", "sensors"]];

// pattern -> [title, view]; the first that fits
const ROUTES = [
  [/^\/$/, "Overview", () => html`<${Overview} />`],
  [/^\/sessions$/, "Sessions", () => html`<${Sessions} />`],
  [/^\/sessions\/([0-9a-f-]{36})$/, "Session", (id) => html`<${Session} key=${id} id=${id} />`],
  [/^\/addresses\/([0-9a-fA-F:.]{2,45})$/, "Address", (ip) => html`<${Address} key=${ip} ip=${ip} />`],
  [/^\/credentials$/, "Credentials and commands", () => html`<${Credentials} />`],
  [/^\/samples$/, "Samples", () => html`<${Samples} />`],
  [/^\/samples\/([0-9a-f]{64})$/, "Sample", (sha256) => html`<${Sample} key=${sha256} sha256=${sha256} />`],
  [/^\/sensors$/, "Sensors and health", () => html`<${Sensors} />`],
  [/^\/search$/, "Search", () => html`<${Search} />`],
  [/^\/account$/, "Account", (_, app) => html`<${Account} user=${app.user} loggedOut=${app.loggedOut} />`],
];

const Missing = () => html`<div class="view-head"><h1 tabindex="-1">There is nothing here</h1></div><p>The address may be mistyped. <a href="/">Go to the overview.</a></p>`;

function App() {
  const [user, setUser] = useState(undefined); // undefined: not known yet, null: nobody
  const [problem, setProblem] = useState(null);
  const loggedOut = () => { live.stop(); setUser(null); };
  const find = () => get("/api/me").then((me) => { setProblem(null); setUser(me.user); }, setProblem);
  useEffect(() => { onLoggedOut(loggedOut); find(); }, []);
  useEffect(() => { if (user) live.start(); }, [user]);
  useEffect(() => { if (user === null) document.title = "Log in · Eudaemon"; }, [user]);
  if (problem) return html`<main class="login"><h1 class="sr">Eudaemon</h1><${Problem} error=${problem} retry=${find} /></main>`;
  if (user === undefined) return html`<p class="boot">Loading …</p>`;
  if (user === null) return html`<${Login} done=${setUser} />`;
  return html`<${Frame} user=${user} loggedOut=${loggedOut} />`;
}

function Frame({ user, loggedOut }) {
  const { path: where } = useRoute();
  const main = useRef(null);
  const first = useRef(true);
  const found = ROUTES.map(([pattern, title, view]) => [pattern.exec(where), title, view]).find(([match]) => match);
  const title = found?.[1] ?? "Nothing here";
  useEffect(() => {
    document.title = `${title} · Eudaemon`;
    if (first.current) { first.current = false; return; }
    main.current?.focus({ preventScroll: true }); // who cannot see the page hears that it is another one
  }, [where]);
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to content</a>
    <${Bar} user=${user} where=${where} loggedOut=${loggedOut} />
    <main id="main" ref=${main} tabindex="-1" aria-label=${title}>${found ? found[2](found[0][1], { user, loggedOut }) : html`<${Missing} />`}
      <p class="note zone">Times are in ${zone()}.</p></main>`;
}

function Bar({ user, where, loggedOut }) {
  const box = useRef(null);
  useEffect(() => {
    const keys = (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
      event.preventDefault();
      box.current.focus();
      box.current.select();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  const search = (event) => {
    event.preventDefault();
    const asked = box.current.value.trim();
    go(asked ? path("/search", { q: asked }) : "/search");
    box.current.blur();
  };
  const logout = async () => { await post("/api/logout").catch(() => {}); loggedOut(); };
  const here = (href) => (href === "/" ? where === "/" : where.startsWith(href));
  return html`<header class="bar">
    <a class="brand" href="/"><img src="/icon.svg" alt="" width="26" height="26" /><span>Eudaemon</span></a>
    <nav class="places" aria-label="Views">${PLACES.map(([href, label, icon]) => html`<a key=${href} href=${href} aria-current=${here(href) ? "page" : undefined}><${Icon} name=${icon} /><span>${label}</span></a>`)}</nav>
    <form class="bar-search" role="search" onSubmit=${search}><${Icon} name="search" size="18" /><input ref=${box} type="search" aria-label="Search everything" placeholder="Search" maxlength="200" /><kbd aria-hidden="true">/</kbd></form>
    <div class="bar-tools"><${ThemeToggle} />
      <a class="tool" href="/account" aria-label=${`Account ${user}`} title=${`Account ${user}`} aria-current=${where === "/account" ? "page" : undefined}><${Icon} name="user" /></a>
      <button type="button" class="tool" aria-label="Log out" title="Log out" onClick=${logout}><${Icon} name="out" /></button></div>
  </header>`;
}

function ThemeToggle() {
  const system = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? system());
  const turn = () => {
    const next = theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem("theme", next); } catch { /* it then lasts until the next load */ }
    setTheme(next);
  };
  const label = theme === "dark" ? "Use light colours" : "Use dark colours";
  return html`<button type="button" class="tool" aria-label=${label} title=${label} onClick=${turn}><${Icon} name=${theme === "dark" ? "sun" : "moon"} /></button>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
