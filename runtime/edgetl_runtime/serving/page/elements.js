// Words, rows, and questions to the board.

export const $ = (id) => document.getElementById(id);
export const percent = (score) => `${Math.round(score * 100)} %`;
export const milliseconds = (ms) => (ms < 10 ? ms.toFixed(1) : ms < 10000 ? ms.toFixed(0) : "> 9999");
export const count = (number) => number.toLocaleString("en");
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

export function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const whole = Math.floor(seconds);
  const first = Math.max(0, units.findIndex(([, size]) => whole >= size));
  const tell = ([name, size], rest) => `${Math.floor(rest / size)} ${name}`;
  if (whole < 60) return tell(units[3], whole);
  return `${tell(units[first], whole)} ${tell(units[first + 1], whole % units[first][1])}`;
}

// Only what changed is touched, so that a screen reader's place and a selection stay.
export function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

export function fill(list, items, show, tag = "li") {
  while (list.children.length > items.length) list.lastChild.remove();
  while (list.children.length < items.length) list.append(document.createElement(tag));
  items.forEach((item, i) => show(list.children[i], item, i));
}

export function parts(row, ...wanted) {
  while (row.children.length < wanted.length) {
    const [tag, name] = wanted[row.children.length];
    const made = row.appendChild(document.createElement(tag));
    if (name) made.className = name;
  }
  return [...row.children];
}

// Whether the board agreed, and what it said.
export async function ask(address, options) {
  try {
    const answer = await fetch(address, options);
    // A proxy in front may refuse by itself, in HTML.
    const refused = { error: `refused with status ${answer.status}, by a proxy in front` };
    return [answer.ok, await answer.json().catch(() => refused)];
  } catch {
    return [false, { error: "the board did not answer; is it still reachable?" }];
  }
}
