// The last minute as a picture: what a frame's time went into, and how old it was when answered.

const SECONDS = 60;
const BIN_S = 0.5;
const MARGIN = { left: 58, right: 4, top: 8, bottom: 20 };
const NS = "http://www.w3.org/2000/svg";

export class Chart {
  constructor(host) {
    this.host = host;
    this.samples = [];
    this.svg = host.appendChild(element("svg", { "aria-hidden": "true" }));
    new ResizeObserver(() => this.draw()).observe(host);
  }

  // Samples are [seconds on this page's clock, preprocess, invoke, age], milliseconds.
  begin(samples) {
    this.samples = samples;
    this.draw();
  }

  add(sample) {
    this.samples.push(sample);
  }

  draw(now = performance.now() / 1000) {
    this.samples = this.samples.filter(([at]) => at > now - SECONDS - 1);
    const { width, height } = this.host.getBoundingClientRect();
    if (width < 60 || height < 60) return;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const bins = intoBins(this.samples, now);
    const ceiling = niceCeiling(Math.max(10, ...bins.map((bin) => Math.max(bin[1] + bin[2], bin[3]))));
    const x = (at) => MARGIN.left + (1 - (now - at) / SECONDS) * (width - MARGIN.left - MARGIN.right);
    const y = (ms) => height - MARGIN.bottom - (ms / ceiling) * (height - MARGIN.top - MARGIN.bottom);
    const parts = gridLines(ceiling, width, height, y);
    for (const run of intoRuns(bins)) {
      const zero = () => 0;
      const under = (bin) => bin[1];
      const over = (bin) => bin[1] + bin[2];
      parts.push(element("path", { class: "preprocess", d: area(run, zero, under, x, y) }));
      parts.push(element("path", { class: "invoke", d: area(run, under, over, x, y) }));
      parts.push(element("path", { class: "age", d: line(run, (bin) => bin[3], x, y) }));
    }
    this.svg.replaceChildren(...parts);
    this.describe();
  }

  describe() {
    const newest = this.samples.at(-1);
    const text = newest
      ? `Milliseconds in the last minute. Now: preprocessing ${newest[1].toFixed(1)}, ` +
        `model ${newest[2].toFixed(1)}, frame age ${newest[3].toFixed(0)}.`
      : "Milliseconds in the last minute: no answer yet.";
    this.host.setAttribute("aria-label", text);
  }
}

// Bins stay where they are while time goes on, so that the curve moves and does not tremble.
function intoBins(samples, now) {
  const bins = new Map();
  for (const [at, ...values] of samples) {
    if (at < now - SECONDS) continue;
    const number = Math.floor(at / BIN_S);
    const bin = bins.get(number) ?? [0, 0, 0, 0];
    bin[0] += 1;
    values.forEach((value, i) => (bin[i + 1] += value));
    bins.set(number, bin);
  }
  const mean = ([number, [count, ...sums]]) => [(number + 0.5) * BIN_S, ...sums.map((sum) => sum / count)];
  return [...bins].sort(([one], [other]) => one - other).map(mean);
}

// A gap in time is a gap in the chart.
function intoRuns(bins) {
  const runs = [];
  for (const bin of bins) {
    const run = runs.at(-1);
    if (run && bin[0] - run.at(-1)[0] < 6 * BIN_S) run.push(bin);
    else runs.push([bin]);
  }
  return runs;
}

function line(run, value, x, y) {
  return "M" + run.map((bin) => `${x(bin[0]).toFixed(1)},${y(value(bin)).toFixed(1)}`).join("L");
}

function area(run, low, high, x, y) {
  const back = line([...run].reverse(), low, x, y);
  return line(run, high, x, y) + "L" + back.slice(1) + "Z";
}

function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value);
}

function gridLines(ceiling, width, height, y) {
  const parts = [];
  for (const share of [0, 0.5, 1]) {
    const at = Math.round(y(ceiling * share)) + 0.5;
    parts.push(element("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at }));
    const ms = ceiling * share;
    parts.push(words(share ? `${+ms.toFixed(1)} ms` : "0", MARGIN.left - 6, at + 4, "end"));
  }
  parts.push(words("1 minute ago", MARGIN.left, height - 4, "start"));
  parts.push(words("now", width - MARGIN.right, height - 4, "end"));
  return parts;
}

function words(text, x, y, anchor) {
  const made = element("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}

function element(name, attributes) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
