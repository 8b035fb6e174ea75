// The page: asks about once a second, and writes on the screen what differs.

import { Card } from "./card.js";
import { ActDialog } from "./dialog.js";
import { mark, say, show } from "./elements.js";
import { forgetOthers, remember } from "./rates.js";
import { clock, stateOf, summaryOf } from "./words.js";

const LIVE = "../api/circuit-breakers/live";
const ASK_MS = 1000;
const ASK_MS_EACH = 20;
const ASK_HIDDEN_MS = 15000;
const ANSWER_MS = 5000;
const SEVERITY = { open: 0, half_open: 1, closed: 2 };

const place = (id) => document.getElementById(id);
const cards = new Map();
let asking = null;
let timer = 0;
// Redis' clock less this machine's steady one, so that no wrong clock shows wrong times.
let ahead = null;
let lastSeen = 0;
let said = new Map();

const now = () => performance.now() / 1000 + ahead;
const dialog = new ActDialog(() => ask());

async function ask() {
  clearTimeout(timer);
  asking?.abort();
  const mine = (asking = new AbortController());
  const limit = setTimeout(() => mine.abort(), ANSWER_MS);
  try {
    const response = await fetch(LIVE, { signal: mine.signal, cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const seen = await response.json();
    if (asking === mine) update(seen);
  } catch {
    if (asking === mine) lost("This page's server does not answer.");
  } finally {
    clearTimeout(limit);
    if (asking === mine) timer = setTimeout(ask, document.hidden ? ASK_HIDDEN_MS : pace());
  }
}

// A very large fleet is asked less often.
const pace = () => Math.max(ASK_MS, cards.size * ASK_MS_EACH);

function update(seen) {
  if (!seen.redis.is_up && !seen.circuits.length) {
    const [why = "nobody knows why"] = Object.values(seen.redis.troubles);
    const reason = why.replace(/\.$/, "");
    lost(`Redis at ${seen.redis.address} cannot be asked: ${reason}. Workers decide by themselves meanwhile.`);
    return;
  }
  const circuits = seen.circuits;
  if (circuits.length) ahead = Math.max(...circuits.map((circuit) => circuit.now)) - performance.now() / 1000;
  lastSeen = Date.now() / 1000;
  circuits.forEach(remember);
  const names = new Set(circuits.map((circuit) => circuit.name));
  forgetOthers(names);
  for (const [name, card] of cards) {
    if (!names.has(name)) {
      card.root.remove();
      cards.delete(name);
    }
  }
  for (const circuit of circuits) {
    if (!cards.has(circuit.name)) cards.set(circuit.name, new Card(circuit.name, (...what) => dialog.open(...what)));
    cards.get(circuit.name).update(circuit, now(), seen.can_act);
  }
  arrange(circuits);
  announce(circuits);
  const summary = summaryOf(circuits);
  say(place("summary"), summary.text);
  mark(place("summary"), "data-state", summary.state);
  document.title = summary.state === "closed" ? "Circuit breakers" : `${summary.text} · Circuit breakers`;
  show(place("nothing"), !circuits.length);
  pulse(true, `live, Redis at ${seen.redis.address}`);
  const troubles = Object.entries(seen.redis.troubles).map(([what, why]) => `${what} (${why})`);
  show(place("trouble"), troubles.length > 0);
  say(place("trouble"), troubles.length ? `Could not be read: ${troubles.join(", ")}` : "");
  place("circuits").classList.remove("stale");
}

function lost(why) {
  pulse(false, lastSeen ? `last seen ${clock(lastSeen)}` : "nothing seen yet");
  const shown = cards.size ? ` What is shown is from ${clock(lastSeen)}.` : "";
  say(place("trouble"), why + shown);
  show(place("trouble"), true);
  if (!cards.size) say(place("summary"), "Nothing is known");
  place("circuits").classList.add("stale");
}

function pulse(ok, text) {
  mark(place("pulse"), "data-ok", String(ok));
  say(place("pulse-text"), text);
}

// The worst first. Nothing moves away from under who is busy with it.
function arrange(circuits) {
  const list = place("circuits");
  const isBusy = list.contains(document.activeElement) || list.matches(":hover") || dialog.dialog.open;
  const wanted = [...circuits]
    .sort((one, other) => (SEVERITY[one.state] ?? 0) - (SEVERITY[other.state] ?? 0) || (one.name < other.name ? -1 : 1))
    .map((circuit) => cards.get(circuit.name).root);
  if (isBusy) {
    list.append(...wanted.filter((root) => !root.isConnected));
  } else if (wanted.some((root, index) => list.children[index] !== root)) {
    list.replaceChildren(...wanted);
  }
}

function announce(circuits) {
  const changes = [];
  for (const circuit of circuits) {
    const words = stateOf(circuit);
    const before = said.get(circuit.name);
    if (before !== undefined && before !== words) {
      changes.push(`${circuit.name} is now ${words.toLowerCase()}${circuit.why ? `: ${circuit.why}` : ""}.`);
    }
    said.set(circuit.name, words);
  }
  if (changes.length) say(place("announcer"), changes.join(" "));
}

setInterval(() => {
  if (!document.hidden && ahead !== null && place("pulse").dataset.ok === "true") {
    for (const card of cards.values()) card.tick(now());
  }
}, 250);
document.addEventListener("visibilitychange", () => document.hidden || ask());
ask();
