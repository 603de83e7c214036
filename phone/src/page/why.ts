import type { Preprocessing } from "../bundle/manifest";
import { drawHeatMap } from "../heatmaps/drawing";
import type { HeatMap } from "../heatmaps/heat_map";
import { $, setText } from "./elements";

/** The switch that shows where the evidence for a label lies, and the picture of it. */
export class Why {
  #rule: Preprocessing | undefined;

  /** Args: change: Called when the switch was turned. */
  constructor(change: () => void) {
    $("why").addEventListener("click", () => {
      $("why").setAttribute("aria-pressed", String(!this.on));
      if (!this.on) this.clear();
      change();
    });
  }

  get on(): boolean {
    return $("why").getAttribute("aria-pressed") === "true";
  }

  begin(possible: boolean, rule: Preprocessing): void {
    this.#rule = rule;
    $("why").hidden = !possible;
  }

  /**
   * Args:
   *   size_px: Of the frame.
   *   label: Of the answer; null where nothing known was found.
   */
  show(heat: HeatMap | undefined, size_px: [number, number], label: string | null): void {
    if (!this.on || !heat) return this.clear();
    drawHeatMap($<HTMLCanvasElement>("heat"), heat, this.#rule!, size_px);
    $("heat").hidden = false;
    setText($("why-what"), label === null ? "Looks most like" : "Speaks for");
    setText($("why-label"), heat.label);
    $("why-text").hidden = false;
  }

  clear(): void {
    $("heat").hidden = true;
    $("why-text").hidden = true;
  }
}
