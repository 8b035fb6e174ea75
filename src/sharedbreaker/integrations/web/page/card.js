// One circuit on the screen. It is made once, and afterwards only what differs is written.

import { drawing, element, mark, say, show } from "./elements.js";
import { ratesOf } from "./rates.js";
import { drawStrip, newStrip } from "./strip.js";
import { STATES, clock, lookOf, number, percent, sinceOf, stateOf, untilOf } from "./words.js";

// A state has a shape too, for whoever does not see its colour.
const SHAPES = {
  closed: "M3 8.5l3.2 3.2L13 4.8",
  open: "M4 4l8 8M12 4l-8 8",
  half_open: "M8 2.5v7M8 12.6v.4",
  disabled: "M3 8h10",
};
const FIGURES = [
  ["success", "Success, 1 min"],
  ["calls", "Calls a second"],
  ["all", "Success, total"],
  ["rejected", "Rejected, total"],
  ["failures", "Failures in a row"],
  ["flight", "Calls in flight"],
  ["probes", "Probes in flight"],
  ["observed", "Would reject, total"],
];
const ACTS = [
  ["force_open", "Hold open…"],
  ["force_close", "Close…"],
  ["disable", "Disable…"],
  ["enable", "Enable…"],
  ["observe", "Observe…"],
  ["enforce", "Enforce…"],
];

export class Card {
  constructor(name, act) {
    this.name = name;
    const id = `circuit-${encodeURIComponent(name)}`;
    this.title = element("h2", { id }, name);
    this.shape = drawing("path", { fill: "none", stroke: "currentColor", "stroke-width": 2.4, "stroke-linecap": "round" });
    const icon = drawing("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, this.shape);
    this.state = element("span", { class: "state" });
    this.since = element("span", { class: "since" });
    this.until = element("span", { class: "until" });
    this.why = element("p", { class: "why" });
    this.strip = newStrip();
    this.begin = element("span");
    this.figures = Object.fromEntries(FIGURES.map(([key]) => [key, element("dd")]));
    this.history = element("ol", { class: "history", tabindex: "0", "aria-label": `History of ${name}` });
    this.details = element("details", {}, element("summary", {}, "History"), this.history);
    this.details.addEventListener("toggle", () => this.details.open && this.loadHistory());
    this.acts = Object.fromEntries(ACTS.map(([key, label]) => [key, this.button(key, label, act)]));
    this.actsRow = element("div", { class: "acts", role: "group", "aria-label": `Acts on ${name}` }, ...Object.values(this.acts));
    this.root = element(
      "article",
      { class: "circuit", "aria-labelledby": id, "data-name": name },
      element("div", { class: "head" }, this.title, element("span", { class: "badge" }, icon, this.state), this.since, this.until),
      this.why,
      this.strip,
      element("div", { class: "scale", "aria-hidden": "true" }, this.begin, element("span", {}, "now")),
      element("dl", { class: "figures" }, ...FIGURES.map(([key, label]) => element("div", {}, element("dt", {}, label), this.figures[key]))),
      element("div", { class: "foot" }, this.details, this.actsRow),
    );
  }

  button(key, label, act) {
    const made = element("button", { type: "button", "aria-label": `${label.replace("…", "")} ${this.name}` }, label);
    made.addEventListener("click", () => act(this.circuit, key, made));
    return made;
  }

  update(circuit, now, canAct) {
    this.circuit = circuit;
    const look = lookOf(circuit);
    mark(this.root, "data-look", look);
    mark(this.shape, "d", SHAPES[look] ?? SHAPES.disabled);
    say(this.state, stateOf(circuit));
    say(this.why, circuit.why);
    show(this.why, circuit.why !== "");
    this.updateFigures(circuit);
    this.updateHistory(circuit.events);
    this.updateActs(circuit, canAct);
    drawStrip(this.strip, this.begin, circuit, now);
    this.tick(now);
  }

  updateActs(circuit, canAct) {
    const focused = document.activeElement;
    show(this.actsRow, canAct);
    show(this.acts.force_open, circuit.mode !== "held_open");
    show(this.acts.force_close, circuit.mode === "held_open" || circuit.state !== "closed");
    show(this.acts.disable, circuit.mode !== "disabled");
    show(this.acts.enable, circuit.mode === "disabled");
    show(this.acts.observe, circuit.mode === "automatic");
    show(this.acts.enforce, circuit.mode === "observe");
    // Whoever has just used a button that is no longer there stands at the next one, and not nowhere.
    if (focused?.hidden && this.actsRow.contains(focused)) {
      Object.values(this.acts).find((button) => !button.hidden)?.focus();
    }
  }

  // Only the time has moved on.
  tick(now) {
    say(this.since, sinceOf(this.circuit, now));
    say(this.until, untilOf(this.circuit, now));
  }

  updateFigures(circuit) {
    const rates = ratesOf(circuit.name);
    const rate = rates.callsPerSecond;
    say(this.figures.success, percent(rates.successPercent));
    say(this.figures.calls, rate === null ? "–" : number(rate));
    say(this.figures.all, percent(circuit.success_rate_percent));
    say(this.figures.failures, `${circuit.current_failure_count}${circuit.failure_threshold ? ` of ${circuit.failure_threshold}` : ""}`);
    say(this.figures.observed, number(circuit.observed_rejections));
    show(this.figures.observed.parentElement, circuit.mode === "observe" || circuit.observed_rejections > 0);
    say(this.figures.rejected, number(circuit.rejected_calls));
    say(this.figures.flight, number(circuit.calls_in_flight));
    say(this.figures.probes, `${circuit.probes_in_flight} of ${circuit.settings.half_open_max_calls}`);
  }

  // What every look brings are the latest events; all of them are asked for where somebody reads them.
  updateHistory(events) {
    const newest = events[0]?.id ?? "";
    if (this.newest === newest) return;
    this.newest = newest;
    if (this.details.open) this.loadHistory();
  }

  async loadHistory() {
    let events = this.circuit.events;
    try {
      const response = await fetch(`../api/circuit-breakers/history?name=${encodeURIComponent(this.name)}&most=200`);
      if (response.ok) events = (await response.json()).events;
    } catch {
      // The latest ones are at hand.
    }
    this.history.replaceChildren(...events.map(lineOf));
  }
}

function lineOf(event) {
  const moved = event.from !== event.to;
  const by = event.who ? ` by ${event.who}` : "";
  return element(
    "li",
    {},
    element("time", { datetime: new Date(event.at * 1000).toISOString() }, clock(event.at, true)),
    element("span", moved ? { class: "to", "data-state": event.to } : { class: "by" }, moved ? STATES[event.to] ?? event.to : "no change"),
    element("span", { class: "what" }, event.says, element("span", { class: "by" }, by)),
  );
}
