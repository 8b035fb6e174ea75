// What happened lately: the difference between two looks at tallies that only grow.

const WINDOW_SECONDS = 60;
const TALLIES = ["successful_calls", "failed_calls", "rejected_calls", "ignored_calls"];
const looks = new Map();

export function remember(circuit) {
  const seen = looks.get(circuit.name) ?? [];
  looks.set(circuit.name, seen);
  const last = seen.at(-1);
  // A tally that went down belongs to a circuit that was deleted and began anew.
  if (last && TALLIES.some((tally) => circuit[tally] < last[tally])) seen.length = 0;
  seen.push({ at: circuit.now, ...Object.fromEntries(TALLIES.map((tally) => [tally, circuit[tally]])) });
  while (seen.length > 2 && seen[1].at < circuit.now - WINDOW_SECONDS) seen.shift();
}

export function forgetOthers(names) {
  for (const name of looks.keys()) if (!names.has(name)) looks.delete(name);
}

// Over the last minute, or since the page was opened; null where there is nothing to tell yet.
export function ratesOf(name) {
  const seen = looks.get(name) ?? [];
  const [first, last] = [seen[0], seen.at(-1)];
  const seconds = last ? last.at - first.at : 0;
  if (seconds < 0.5) return { callsPerSecond: null, successPercent: null };
  const grown = Object.fromEntries(TALLIES.map((tally) => [tally, last[tally] - first[tally]]));
  const calls = TALLIES.reduce((sum, tally) => sum + grown[tally], 0);
  return {
    callsPerSecond: calls / seconds,
    successPercent: calls ? (100 * grown.successful_calls) / calls : null,
  };
}
