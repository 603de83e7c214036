import { listClasses } from "../classify/prediction";
import { needed, type Site } from "../site";
import type { Started } from "../worker/protocol";
import { $, fill, fillTable, milliseconds, setText } from "./elements";

const OFFLINE = "Without a network";
const TAUGHT = "Taught";

/** Says whether the page would open without a network. */
export function describeOffline(works: boolean): void {
  const text = works ? "works" : "does not work: this browser keeps no files, or has no room";
  $("about").dataset.offline = text;
  change(OFFLINE, text);
}

/** Says that answers are not those of the model as it was exported. */
export function describeTaught(lessons: number): void {
  const count = lessons === 1 ? "1 lesson" : `${lessons} lessons`;
  change(TAUGHT, lessons ? `${count}; answers are no longer those that were measured` : "no");
  $("bench-taught").hidden = !lessons;
}

function change(term: string, text: string): void {
  const terms = [...$("about").querySelectorAll("dt")];
  const row = terms.find(({ textContent }) => textContent === term);
  if (row) setText(row.nextElementSibling!, text);
}

/** Fills the menu: what was checked, and what runs. */
export function describeModel(site: Site, started: Started, base: string): void {
  const { golden } = started;
  const files = needed(site, started.build).length;
  const checks = [
    `SHA-256 of the ${files} files that this phone uses`,
    `Preprocessing of ${golden.frames} golden frames, photos whose scores were measured at export: ` +
      "the same bits",
    `Scores of the golden frames: ${golden.worst_difference.toPrecision(2)} from those at export, ` +
      `allowed is ${golden.tolerance}`,
  ];
  fill($("checks"), checks, (row, text) => setText(row, text));
  fillTable($("about"), [
    ["Model", site.name],
    ["File", site.variant],
    ["Engine", `${started.engine}, ${started.build} build, 1 thread`],
    ["Labels", String(listClasses(started).length)],
    [TAUGHT, "no"],
    ["Unknown below", started.threshold.toFixed(2)],
    ["Loaded in", `${milliseconds(started.load_ms)} ms`],
    ["Version", site.version],
    [OFFLINE, $("about").dataset.offline ?? "not yet"],
  ]);
  const link = (id: string, path: string) =>
    $(id).setAttribute("href", new URL(`v-${site.version}/${path}`, base).href);
  link("card", "bundle/MODEL_CARD.md");
  link("licences", "LICENSES.txt");
}
