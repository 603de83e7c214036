
// Without this script the tables are as readable, but cannot be sorted by a click.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, heads, column));
  });
}
function sort(table, heads, column) {
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => {
    const cell = row.cells[column];
    return "sort" in cell.dataset ? Number(cell.dataset.sort) : cell.textContent.trim();
  };
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b));
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((a, b) => compare(value(a), value(b)) * (down ? -1 : 1));
  body.append(...rows);
}
// Without this script a dot of a map tells its photo's name, but does not show the photo.
for (const map of document.querySelectorAll("figure.map")) explore(map);
function explore(map) {
  const [svg, photo, told] = ["svg", ".photo", ".told"].map((one) => map.querySelector(one));
  const dots = [...svg.querySelectorAll("circle")].map((circle) => {
    const title = circle.querySelector("title");
    title.remove();
    const [x, y] = [circle.cx.baseVal.value, circle.cy.baseVal.value];
    return { circle, x, y, text: title.textContent.trim() };
  });
  let chosen = null;
  let only = null;
  const open = () => dots.filter((dot) => only === null || dot.circle.dataset.class === only);
  const show = (dot) => {
    if (!dot) return;
    chosen?.circle.classList.remove("chosen");
    dot.circle.classList.add("chosen");
    const [column, row] = dot.circle.dataset.tile.split(" ").map(Number);
    photo.style.backgroundPosition = -160 * column + "px " + -160 * row + "px";
    told.textContent = dot.text;
    chosen = dot;
  };
  const nearest = (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale;
    const y = (event.clientY - box.top) * scale;
    return least(open(), (dot) => Math.hypot(dot.x - x, dot.y - y));
  };
  for (const kind of ["pointermove", "pointerdown"]) {
    svg.addEventListener(kind, (event) => show(nearest(event)));
  }
  // The one on top, which is a mistake if there is any.
  show(dots.at(-1));
  svg.tabIndex = 0;
  svg.setAttribute("aria-label", svg.getAttribute("aria-label") + ": arrow keys choose a photo");
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  svg.addEventListener("keydown", (event) => {
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    show(beside(open(), chosen, way));
  });
  for (const item of map.querySelectorAll(".legend li")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...item.childNodes);
    item.append(button);
    button.addEventListener("click", () => {
      only = only === item.dataset.class ? null : item.dataset.class;
      for (const { circle } of dots) {
        circle.classList.toggle("dim", only !== null && circle.dataset.class !== only);
      }
      for (const other of map.querySelectorAll(".legend button")) {
        other.setAttribute("aria-pressed", String(only !== null && other === button));
      }
    });
  }
}
// The nearest dot in a direction; what lies aside counts double.
function beside(dots, from, [right, down]) {
  const ahead = (dot) => (dot.x - from.x) * right + (dot.y - from.y) * down;
  const aside = (dot) => Math.abs((dot.x - from.x) * down) + Math.abs((dot.y - from.y) * right);
  return least(dots.filter((dot) => ahead(dot) > 0), (dot) => ahead(dot) + 2 * aside(dot));
}
function least(items, measure) {
  let [best, lowest] = [null, Infinity];
  for (const item of items) {
    const value = measure(item);
    if (value < lowest) [best, lowest] = [item, value];
  }
  return best;
}
