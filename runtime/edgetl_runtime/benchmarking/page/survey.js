// Shows what is in the element `data`: figures and sentences come from there, and none are made here.
"use strict";
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const SHAPES = ["circle", "square", "diamond", "triangle"];
  const COLORS = 6;
  const { survey, texts } = JSON.parse(document.getElementById("data").textContent);
  const best = survey.recommendation;
  const rows = survey.rows.map((row, number) => ({ ...row, remark: texts.remarks[number] }));
  const measured = rows.filter((row) => row.report);
  const files = new Map(survey.files.map((file, number) => [file.variant, { ...file, number }]));

  const byId = (id) => document.getElementById(id);
  const isBest = (row) => best !== null && row.variant === best.variant && row.threads === best.threads;
  const threads = (number) => `${number} ${number === 1 ? "thread" : "threads"}`;
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const ms = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
  const say = (value, text) => (value === null || value === undefined ? null : text(value));
  const range = (row) => (row.range_ms ? row.range_ms.map(ms).join(" to ") : "");

  function make(name, text = "", attributes = {}) {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function draw(name, attributes, text = "") {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    return made;
  }

  function fillList(id, sentences) {
    byId(id).replaceChildren(...sentences.map((sentence) => make("li", sentence, { dir: "auto" })));
    byId(id).hidden = sentences.length === 0;
  }

  // Head: what to use, and how sure that is.
  byId("machine").textContent = [survey.board.board ?? survey.board.cpu, `${survey.board.cores} cores`].join(", ");
  byId("headline").textContent = texts.headline;
  byId("doubt").textContent = texts.doubt;
  byId("doubt").hidden = texts.doubt === "";
  fillList("grounds", texts.grounds);
  fillList("warnings", texts.warnings);
  fillList("failures", texts.failures);
  byId("failed").hidden = texts.failures.length === 0;
  byId("use").hidden = best === null;
  byId("settings").textContent = texts.settings;
  byId("flags").textContent = texts.flags;
  for (const button of document.querySelectorAll("[data-copies]"))
    button.addEventListener("click", () => copy(byId(button.dataset.copies)));

  async function copy(element) {
    getSelection().selectAllChildren(element);
    try {
      await navigator.clipboard.writeText(element.textContent);
      byId("copied").textContent = "Copied.";
    } catch {
      byId("copied").textContent = "Selected; copy it with Ctrl+C.";
    }
  }

  // Chart: a mark for each row, its file by colour and shape.
  const look = (variant) => {
    const file = files.get(variant);
    const barred = file.gate_failures.length || file.golden_failures.length ? " barred" : "";
    return {
      class: `series series-${file.number % COLORS}${barred}`,
      shape: SHAPES[file.number % SHAPES.length],
    };
  };

  function mark(shape, x, y, size) {
    const r = size / 2;
    switch (shape) {
      case "circle":
        return draw("circle", { class: "mark", cx: x, cy: y, r });
      case "square":
        return draw("rect", { class: "mark", x: x - r * 0.9, y: y - r * 0.9, width: r * 1.8, height: r * 1.8 });
      case "diamond":
        return draw("path", { class: "mark", d: `M${x},${y - r * 1.2}l${r * 1.2},${r * 1.2}l${-r * 1.2},${r * 1.2}l${-r * 1.2},${-r * 1.2}Z` });
      default:
        return draw("path", { class: "mark", d: `M${x},${y - r * 1.1}l${r * 1.15},${r * 2}h${-r * 2.3}Z` });
    }
  }

  function fillLegend() {
    const known = survey.files.filter((file) => measured.some((row) => row.variant === file.variant));
    const items = known.map((file) => {
      const item = make("li");
      const { class: names, shape } = look(file.variant);
      const swatch = draw("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", class: names });
      swatch.append(mark(shape, 8, 8, 11));
      item.append(swatch, make("bdi", file.variant), ` ${percent(file.top1)}`);
      return item;
    });
    byId("legend").replaceChildren(...items);
  }

  function niceStep(span, count) {
    const power = 10 ** Math.floor(Math.log10(span / count));
    return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= span / count);
  }

  // Rows whose accuracy is nearly the same would lie upon one another: they are moved apart.
  function spread(wanted, gap, low, high) {
    const order = wanted.map((y, number) => ({ y, number })).sort((a, b) => a.y - b.y);
    let groups = order.map((one) => ({ members: [one], center: one.y }));
    for (let again = true; again; ) {
      again = false;
      for (let i = 1; i < groups.length; i += 1) {
        const [above, below] = [groups[i - 1], groups[i]];
        const needed = ((above.members.length + below.members.length) / 2) * gap;
        if (below.center - above.center >= needed - 1e-6) continue;
        const members = [...above.members, ...below.members];
        const center = members.reduce((sum, one) => sum + one.y, 0) / members.length;
        groups.splice(i - 1, 2, { members, center });
        again = true;
        break;
      }
    }
    const found = [];
    for (const { members, center } of groups) {
      const half = ((members.length - 1) / 2) * gap;
      const inside = Math.min(high - half, Math.max(low + half, center));
      members.forEach((one, i) => (found[one.number] = inside - half + i * gap));
    }
    return found;
  }

  function scaleAccuracy() {
    const values = measured.map((row) => files.get(row.variant).top1);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const pad = Math.max(0.01, (most - least) * 0.25);
    return [Math.max(0, least - pad), Math.min(1, most + pad)];
  }

  function drawChart() {
    const host = byId("chart");
    const { width, height } = host.getBoundingClientRect();
    if (width < 60 || measured.length === 0) return;
    const margin = { left: 64, right: 18, top: 12, bottom: 42 };
    const end = Math.max(...measured.map((row) => (row.range_ms ? row.range_ms[1] : row.report.total_ms.p50)));
    const step = niceStep(end, width < 500 ? 4 : 8);
    const ceiling = Math.ceil((end * 1.02) / step) * step;
    const [low, high] = scaleAccuracy();
    const x = (value) => margin.left + (value / ceiling) * (width - margin.left - margin.right);
    const y = (share) => height - margin.bottom - ((share - low) / (high - low)) * (height - margin.top - margin.bottom);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    svg.append(...drawGrid({ width, height, margin, step, ceiling, x }));
    const order = [...measured].sort((one, other) => files.get(one.variant).number - files.get(other.variant).number || one.threads - other.threads);
    const gap = Math.min(26, (height - margin.top - margin.bottom - 16) / order.length);
    const places = spread(order.map((row) => y(files.get(row.variant).top1)), gap, margin.top + 10, height - margin.bottom - 10);
    const marks = order.map((row, number) => drawRow(row, x, places[number]));
    svg.append(...drawAccuracies(order, places, margin.left));
    svg.append(...marks.map((one) => one.bar), ...marks.map((one) => one.mark));
    if (best) svg.append(...drawBest(order, places, x, width));
    host.replaceChildren(svg);
  }

  function drawGrid({ width, height, margin, step, ceiling, x }) {
    const parts = [];
    const bottom = height - margin.bottom;
    for (let value = 0; value <= ceiling * 1.0001; value += step) {
      const at = Math.round(x(value)) + 0.5;
      parts.push(draw("line", { class: "grid", x1: at, x2: at, y1: margin.top, y2: bottom }));
      parts.push(draw("text", { x: at, y: bottom + 16, "text-anchor": "middle" }, `${+value.toPrecision(6)}`));
    }
    const middle = (margin.left + width - margin.right) / 2;
    parts.push(draw("text", { x: middle, y: height - 6, "text-anchor": "middle" }, "ms from frame to label (median and range)"));
    return parts;
  }

  // A bracket for each accuracy, as high as the rows that have it.
  function drawAccuracies(order, places, left) {
    const groups = new Map();
    order.forEach((row, number) => {
      const share = files.get(row.variant).top1;
      groups.set(share, [...(groups.get(share) ?? []), places[number]]);
    });
    return [...groups].flatMap(([share, ys]) => {
      const [top, bottom] = [Math.min(...ys) - 6, Math.max(...ys) + 6];
      const at = left - 6;
      const bracket = draw("path", { class: "bracket", d: `M${at + 4},${top}H${at}V${bottom}H${at + 4}` });
      const words = { class: "accuracy", x: at - 6, y: (top + bottom) / 2 + 4, "text-anchor": "end" };
      return [bracket, draw("text", words, percent(share))];
    });
  }

  function drawRow(row, x, y) {
    const { class: names, shape } = look(row.variant);
    const at = x(row.report.total_ms.p50);
    const bar = draw("g", { class: names });
    if (row.range_ms) {
      const [from, to] = row.range_ms.map(x);
      bar.append(draw("line", { class: "range", x1: from, x2: to, y1: y, y2: y }));
      for (const end of [from, to]) bar.append(draw("line", { class: "range", x1: end, x2: end, y1: y - 4, y2: y + 4 }));
    }
    const group = draw("g", { class: names });
    group.append(mark(shape, at, y, 12), draw("text", { class: "threads", x: at + (isBest(row) ? 14 : 9), y: y + 4 }, String(row.threads)));
    group.append(draw("title", {}, `${row.variant}, ${threads(row.threads)}: ${ms(row.report.total_ms.p50)} ms (${range(row)})`));
    return { bar, mark: group };
  }

  function drawBest(order, places, x, width) {
    const number = order.findIndex(isBest);
    const at = x(order[number].report.total_ms.p50);
    const right = at < width / 2;
    const [from, to] = order[number].range_ms?.map(x) ?? [at, at];
    // Beyond the range, and beyond the number of threads.
    const words = { class: "best-text", x: right ? Math.max(to + 8, at + 26) : Math.min(from - 8, at - 16), y: places[number] + 4, "text-anchor": right ? "start" : "end" };
    return [draw("circle", { class: "ring", cx: at, cy: places[number], r: 11 }), draw("text", words, "recommended")];
  }

  function describeChart() {
    const said = measured.map((row) => `${row.variant} with ${threads(row.threads)}: ${ms(row.report.total_ms.p50)} ms, top-1 ${percent(files.get(row.variant).top1)}`);
    byId("chart").setAttribute("aria-label", `Accuracy against latency. ${said.join("; ")}. The table below has all figures.`);
    byId("explained").textContent =
      `Higher is more accurate: top-1 on the bundle's own ${survey.files[0].examples} validation photos, not from 0. ` +
      "Further left is faster. The number at a mark is that of threads; its bar says where the median of another " +
      "run here is expected. Rows of one accuracy lie beside its bracket. Hollow marks may not be used.";
  }

  // Table: fastest first, sorted by another column on request.
  const COLUMNS = [
    { name: "file", cell: (row) => row.variant, head: true },
    { name: "threads", n: true, value: (row) => row.threads, cell: (row) => String(row.threads) },
    ...["p50", "range", "p90", "p99"].map((name) => ({
      name: name === "p50" ? "p50, ms" : name,
      n: true,
      value: (row) => (name === "range" ? row.range_ms?.[0] : row.report?.total_ms[name]) ?? Infinity,
      cell: (row) => (!row.report ? "" : name === "range" ? range(row) : ms(row.report.total_ms[name])),
    })),
    ...["preprocess", "invoke"].map((name) => ({
      name,
      n: true,
      value: (row) => row.report?.[`${name}_ms`].p50 ?? Infinity,
      cell: (row) => (row.report ? ms(row.report[`${name}_ms`].p50) : ""),
    })),
    { name: "top-1", n: true, value: (row) => files.get(row.variant).top1, cell: (row) => percent(files.get(row.variant).top1) },
    { name: "MiB", n: true, value: (row) => files.get(row.variant).bytes, cell: (row) => (files.get(row.variant).bytes / 2 ** 20).toFixed(2) },
    { name: "engine", cell: (row) => row.report?.engine ?? files.get(row.variant).engine, class: "engine" },
    { name: "remark", cell: (row) => row.remark },
  ];
  let sorted = { column: 2, down: false };

  function fillTable() {
    const { value, cell } = COLUMNS[sorted.column];
    const key = value ?? cell;
    const sign = sorted.down ? -1 : 1;
    const compare = (one, other) => (key(one) < key(other) ? -sign : key(one) > key(other) ? sign : 0);
    byId("rows").tHead.replaceChildren(makeHead());
    byId("rows").tBodies[0].replaceChildren(...[...rows].sort(compare).map(makeRow));
  }

  function makeHead() {
    const line = make("tr");
    COLUMNS.forEach(({ name, n }, number) => {
      const head = make("th", "", { scope: "col", class: n ? "n" : "" });
      if (number === sorted.column) head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      const button = make("button", name, { type: "button" });
      button.addEventListener("click", () => {
        sorted = { column: number, down: number === sorted.column && !sorted.down };
        fillTable();
        byId("rows").tHead.querySelectorAll("button")[number].focus();
      });
      head.append(button);
      line.append(head);
    });
    return line;
  }

  function makeRow(row) {
    const line = make("tr", "", { class: isBest(row) ? "best" : "" });
    for (const { cell, n, head, class: its } of COLUMNS) {
      const made = make(head ? "th" : "td", cell(row), head ? { scope: "row", dir: "auto" } : { class: n ? "n" : (its ?? ""), dir: "auto" });
      if (head && isBest(row)) made.append(make("small", "recommended"));
      line.append(made);
    }
    return line;
  }

  // Facts of the machine and of the measurement.
  function listFacts() {
    const { board, observation: seen, software } = survey;
    const waits = rows.map((row) => row.report?.waited ?? null).filter((share) => share !== null);
    const engines = [...new Set(measured.map((row) => row.report.engine))];
    const degrees = (value) => `${Math.round(value)} °C`;
    const machine = [
      ["Board", board.board],
      ["Processor", `${board.cpu}, ${board.cores} cores, ${board.allowed_cores} of them allowed` + (board.cpu_quota ? `, quota ${board.cpu_quota}` : "")],
      ["Highest clock", say(board.max_clock_mhz, (mhz) => `${Math.round(mhz)} MHz`)],
      ["Memory", say(board.memory_bytes, (bytes) => `${(bytes / 2 ** 30).toFixed(1)} GiB`)],
      ["System", `${board.os}, Python ${board.python}`],
      ["Governor", board.governor],
      ["Clock meanwhile", say(seen?.lowest_clock_mhz, (low) => `${Math.round(low)} to ${Math.round(seen.highest_clock_mhz)} MHz`)],
      ["Temperature", say(seen?.before.temperature_c, (before) => `${degrees(before)} before, ${degrees(seen.after.temperature_c ?? before)} after, ${degrees(seen.highest_c)} at most`)],
      ["Throttling", say(seen?.throttled, (told) => (told ? seen.throttling.join(", ") || "yes" : "none"))],
      ["Energy", say(seen?.energy_j, (joules) => `${joules.toPrecision(3)} J (${seen.energy_source})`)],
    ];
    const unknown = machine.filter(([, value]) => value === null).map(([name]) => name.toLowerCase());
    return [
      ...machine.filter(([, value]) => value !== null),
      ...(unknown.length ? [["Not known", unknown.join(", ")]] : []),
      ["Software", [...engines, ...Object.entries(software).map((pair) => pair.join(" "))].join(", ")],
      ["Taken", `${survey.taken_utc}, by this machine's clock; took ${(survey.took_s / 60).toFixed(1)} minutes of ${(survey.budget_s / 60).toFixed(1)}`],
      ["How", `edgetl-run bench --all: two passes over the rows, the second in reverse order, each row in a process of its own, ${survey.pass_s.toPrecision(2)} s or more a pass; frame ${survey.frame_px.join("x")}`],
      ["Processor taken by others", say(waits.length ? Math.max(...waits) : null, (most) => `up to ${percent(most)} of the time`) ?? "not known"],
      ["Noise from pass to pass", say(survey.noise, percent) ?? "not known"],
      ["SHA-256 of the bundle", survey.bundle_sha256, true],
      ...survey.files.map((file) => [`of ${file.variant}`, file.sha256, true]),
    ];
  }

  function fillFacts() {
    const made = listFacts().map(([name, value, isCode]) => {
      const pair = make("div");
      const said = make("dd", isCode ? "" : value, { dir: "auto" });
      if (isCode) said.append(make("code", value));
      pair.append(make("dt", name, { dir: "auto" }), said);
      return pair;
    });
    byId("facts").replaceChildren(...made);
  }

  byId("chart").style.height = `${Math.min(720, Math.max(280, 62 + 24 * measured.length))}px`;
  fillLegend();
  describeChart();
  fillTable();
  fillFacts();
  new ResizeObserver(drawChart).observe(byId("chart"));
})();
