// The timeline: in which state a circuit was when, as a strip that ends now.

import { drawing, mark, say } from "./elements.js";
import { STATES, clock, duration } from "./words.js";

const WINDOWS = [300, 900, 3600, 21600, 86400, 604800];
const TRANSITIONS_SHOWN = 6;
const WIDTH = 1000;
const NARROWEST = 4;

export function newStrip() {
  return drawing("svg", { class: "strip", role: "img", viewBox: `0 0 ${WIDTH} 20`, preserveAspectRatio: "none" });
}

export function drawStrip(strip, scale, circuit, now) {
  const moves = circuit.events.filter((event) => event.from !== event.to).reverse();
  const oldest = moves.at(-TRANSITIONS_SHOWN) ?? moves[0];
  const wanted = oldest ? now - oldest.at : 0;
  const seconds = WINDOWS.find((window) => window >= wanted * 1.1) ?? WINDOWS.at(-1);
  const begin = now - seconds;
  const spans = spansOf(circuit, moves, begin, now);
  const drawn = spans.map(({ state, from, to }) => {
    const x = ((from - begin) / seconds) * WIDTH;
    const width = Math.max(((to - from) / seconds) * WIDTH, NARROWEST);
    return drawing("rect", { class: state, x: x.toFixed(1), y: 0, width: width.toFixed(1), height: 20 });
  });
  strip.replaceChildren(...drawn);
  const told = spans.filter((span) => span.state !== "nothing").slice(-TRANSITIONS_SHOWN);
  const words = told.map((span) => `${STATES[span.state] ?? span.state} from ${clock(span.from)}`).join(", ");
  mark(strip, "aria-label", `The last ${duration(seconds)}: ${words}`);
  say(scale, `${clock(begin)}`);
}

function spansOf(circuit, moves, begin, now) {
  const spans = [];
  // Before its first call a circuit was in no state.
  const start = now - circuit.uptime_seconds;
  const first = moves[0];
  let state = first ? first.from : circuit.state;
  let from = begin;
  if (start > begin) {
    spans.push({ state: "nothing", from: begin, to: start });
    from = start;
  }
  for (const move of moves) {
    if (move.at > from) {
      spans.push({ state, from, to: move.at });
      from = move.at;
    }
    state = move.to;
  }
  spans.push({ state, from, to: now });
  return spans;
}
