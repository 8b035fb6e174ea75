// Times and states in words.

export const STATES = { closed: "Closed", open: "Open", half_open: "Half-open" };

export function lookOf(circuit) {
  return circuit.mode === "disabled" ? "disabled" : circuit.state;
}

export function stateOf(circuit) {
  if (circuit.mode === "disabled") return "Disabled";
  if (circuit.mode === "held_open") return "Held open";
  const state = STATES[circuit.state] ?? circuit.state;
  return circuit.mode === "observe" ? `${state}, observed` : state;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

// What is left is rounded up: it must not say 0 while there is still something to wait for.
export function sinceOf(circuit, now) {
  return circuit.last_state_change ? `for ${duration(now - circuit.last_state_change)}` : "";
}

export function untilOf(circuit, now) {
  if (circuit.state === "half_open") {
    return `${circuit.current_success_count} of ${circuit.success_threshold} probes succeeded`;
  }
  if (circuit.state !== "open") return "";
  const held = circuit.mode === "held_open";
  if (!circuit.open_until) return held ? "until somebody closes it" : "";
  const left = circuit.open_until - now;
  if (left <= 0) return "the next call is a probe";
  return held ? `held for another ${duration(Math.ceil(left))}` : `first probe in ${duration(Math.ceil(left))}`;
}

export function clock(seconds, withDate) {
  const moment = new Date(seconds * 1000);
  const time = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return withDate ? `${moment.toLocaleDateString([], { day: "numeric", month: "short" })} ${time}` : time;
}

export function percent(value) {
  if (value === null || value === undefined) return "–";
  return `${value >= 99.95 || value === 0 ? Math.round(value) : value.toFixed(1)} %`;
}

export function number(value) {
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
}

export function summaryOf(circuits) {
  if (!circuits.length) return { state: "closed", text: "No circuits" };
  const count = (state) => circuits.filter((circuit) => circuit.state === state).length;
  const [open, halfOpen] = [count("open"), count("half_open")];
  if (open) {
    const also = halfOpen ? `, ${halfOpen} half-open` : "";
    return { state: "open", text: `${open} of ${circuits.length} open${also}` };
  }
  if (halfOpen) return { state: "half_open", text: `${halfOpen} of ${circuits.length} half-open` };
  return { state: "closed", text: circuits.length === 1 ? "The circuit is closed" : `All ${circuits.length} closed` };
}
