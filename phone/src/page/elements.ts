// The page's elements. Labels and names are text from elsewhere: they reach the page through
// `textContent` only.

export function $<E extends Element = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found as unknown as E;
}

/** Only what changed is touched, so that a screen reader's place and a selection stay. */
export function setText(place: Element, text: string): void {
  if (place.textContent !== text) place.textContent = text;
}

/** One child for each item. */
export function fill<T>(
  list: Element,
  items: readonly T[],
  show: (row: HTMLElement, item: T, index: number) => void,
  tag = "li",
): void {
  while (list.children.length > items.length) list.lastChild!.remove();
  while (list.children.length < items.length) list.append(document.createElement(tag));
  items.forEach((item, i) => show(list.children[i] as HTMLElement, item, i));
}

/** The children of a row, made the first time: `["bdi", ""]`, `["span", "value"]`. */
export function parts(row: Element, ...wanted: [tag: string, name: string][]): HTMLElement[] {
  while (row.children.length < wanted.length) {
    const [tag, name] = wanted[row.children.length]!;
    const made = row.appendChild(document.createElement(tag));
    if (name) made.className = name;
  }
  return [...row.children] as HTMLElement[];
}

/** Rows of a term and its value. */
export function fillTable(list: Element, rows: [string, string][]): void {
  const show = (row: HTMLElement, [name, value]: [string, string]) => {
    const [term, figure] = parts(row, ["dt", ""], ["dd", ""]);
    setText(term!, name);
    setText(figure!, value);
  };
  fill(list, rows, show, "div");
}

export const percent = (score: number) => `${Math.round(score * 100)} %`;
export const milliseconds = (ms: number) => (ms < 10 ? ms.toFixed(1) : ms.toFixed(0));
export const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
export const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
