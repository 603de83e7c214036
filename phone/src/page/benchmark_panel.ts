import { describe } from "../errors";
import { $, fill, fillTable, milliseconds, parts, sentence, setText } from "./elements";
import type { Percentiles, Report } from "./report";

const RUNS = 300;
const LONG_S = 60;
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 320;
const HEIGHT = 120;
const LEFT = 34;

type Run = (runs: number, seconds: number, progress: (share: number) => void) => Promise<Report>;

/** The dialog that measures, and shows the card. */
export class BenchmarkPanel {
  #report: Report | undefined;

  constructor(private readonly run: Run) {
    $("open-bench").addEventListener("click", () => {
      $<HTMLDialogElement>("menu").close();
      $<HTMLDialogElement>("bench").showModal();
    });
    $("bench-run").addEventListener("click", () => void this.#measure(RUNS, 0));
    $("bench-long").addEventListener("click", () => void this.#measure(RUNS, LONG_S));
    $("bench-copy").addEventListener("click", () => void this.#copy());
    $("bench-share").addEventListener("click", () => void this.#share());
  }

  async #measure(runs: number, seconds: number): Promise<void> {
    const bar = $<HTMLProgressElement>("bench-progress");
    const buttons = ["bench-run", "bench-long"].map((id) => $<HTMLButtonElement>(id));
    for (const button of buttons) button.disabled = true;
    $("bench-card").hidden = true;
    bar.hidden = false;
    bar.value = 0;
    try {
      this.#report = await this.run(runs, seconds, (share) => (bar.value = share));
      show(this.#report);
    } catch (error) {
      setText($("bench-text"), sentence(describe(error)));
    } finally {
      bar.hidden = true;
      for (const button of buttons) button.disabled = false;
    }
  }

  async #copy(): Promise<void> {
    await navigator.clipboard.writeText(JSON.stringify(this.#report, null, 1));
    setText($("bench-copy"), "Copied");
    setTimeout(() => setText($("bench-copy"), "Copy JSON"), 2000);
  }

  async #share(): Promise<void> {
    const file = new File([JSON.stringify(this.#report, null, 1)], "edgetl-bench.json", {
      type: "application/json",
    });
    if (navigator.canShare?.({ files: [file] })) {
      await navigator.share({ files: [file] }).catch(() => undefined);
      return;
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}

function show(report: Report): void {
  const stages: [string, Percentiles][] = [
    ["Preprocess", report.preprocess_ms],
    ["Model", report.invoke_ms],
    ["Whole", report.total_ms],
  ];
  fill(
    $("bench-rows"),
    stages,
    (row, [name, stage]) => {
      const cells = parts(row, ["th", ""], ["td", ""], ["td", ""], ["td", ""]);
      cells[0]!.setAttribute("scope", "row");
      setText(cells[0]!, name);
      [stage.p50, stage.p90, stage.p99].forEach((ms, i) => setText(cells[i + 1]!, ms.toFixed(2)));
    },
    "tr",
  );
  fillTable($("bench-facts"), describeFacts(report));
  $("bench-card").hidden = false;
  const points = report.drift;
  $("bench-drift").hidden = points.length < 2;
  if (points.length < 2) return;
  draw($("bench-chart"), points);
  const last = points.at(-1)![0];
  setText(
    $("bench-drift-text"),
    report.slowed
      ? `Slower at the end of ${last.toFixed(0)} s than at its start: the phone throttles, or was busy.`
      : `Milliseconds over ${last.toFixed(0)} s: no slower at the end.`,
  );
}

function describeFacts(report: Report): [string, string][] {
  const { browser } = report;
  const memory = browser.memory_hint_gib ? `about ${browser.memory_hint_gib} GiB` : "";
  return [
    ["File", String(report.variant)],
    ["Engine", `${report.engine}, ${browser.wasm_build} build, 1 thread`],
    ["Browser", browser.brand],
    ["Phone", [browser.model, `${browser.cores} cores`, memory].filter(Boolean).join(", ")],
    ["Runs", String(report.runs)],
    ["Load", `${milliseconds(report.load_ms)} ms`],
    ["Of it, compile", `${milliseconds(report.compile_ms)} ms`],
    ["First answer", `${milliseconds(report.first_ms)} ms`],
  ];
}

function draw(place: Element, points: [number, number][]): void {
  const most = Math.max(...points.map(([, ms]) => ms)) * 1.15;
  const end = points.at(-1)![0];
  const x = (s: number) => LEFT + (s / end) * (WIDTH - LEFT - 4);
  const y = (ms: number) => HEIGHT - 18 - (ms / most) * (HEIGHT - 26);
  const chart = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  chart.setAttribute("aria-label", "Milliseconds over time");
  for (const ms of [0, most / 2.3, most / 1.15]) {
    chart.append(make("path", { class: "grid", d: `M${LEFT} ${y(ms)}H${WIDTH}` }));
    const text = make("text", { x: LEFT - 4, y: y(ms) + 4, "text-anchor": "end" });
    text.textContent = milliseconds(ms);
    chart.append(text);
  }
  const line = points.map(([s, ms]) => `${x(s).toFixed(1)} ${y(ms).toFixed(1)}`).join("L");
  chart.append(make("path", { class: "line", d: `M${line}` }));
  const caption = make("text", { x: WIDTH - 2, y: HEIGHT - 3, "text-anchor": "end" });
  caption.textContent = `${end.toFixed(0)} s`;
  chart.append(caption);
  place.replaceChildren(chart);
}

function make(tag: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, `${value}`);
  return element;
}
