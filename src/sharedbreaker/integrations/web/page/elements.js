// Elements of the page. Text from outside is only ever text: nothing here makes markup out of it.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Only what differs is written: a screen reader and a selection are left in peace.
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

export function mark(place, name, value) {
  if (place.getAttribute(name) !== value) place.setAttribute(name, value);
}

export function show(place, visible) {
  if (place.hidden === visible) place.hidden = !visible;
}
