import type { LabelScore } from "../classify/prediction";
import type { Shown } from "./live";
import type { Progress } from "../worker/protocol";
import { $, fill, megabytes, milliseconds, parts, percent, sentence, setText } from "./elements";

/**
 * What the page is doing: `failed` is the model's, so that no label may be shown; `stopped` the
 * camera's.
 */
export type State = "loading" | "ready" | "live" | "frozen" | "photo" | "stopped" | "failed";

const COVERED: State[] = ["loading", "ready", "stopped", "failed"];
const LONG_LABEL = 22;

/** The stage, the label and the bars. */
export class View {
  #spoken: string | null | undefined;

  get state(): State {
    return document.body.dataset.state as State;
  }

  /** Changes the state, with what the veil says where there is one. */
  show(state: State, title = "", text = "", action = ""): void {
    document.body.dataset.state = state;
    $("veil").hidden = !COVERED.includes(state);
    $("progress").hidden = state !== "loading";
    setText($("veil-title"), title);
    setText($("veil-text"), text && sentence(text));
    $("start").hidden = !action;
    setText($("start"), action);
    $("freeze").toggleAttribute("disabled", !["live", "frozen", "photo"].includes(state));
    $("keep").toggleAttribute("disabled", !["live", "frozen"].includes(state));
    $("file").toggleAttribute("disabled", ["loading", "failed"].includes(state));
    $("photo").hidden = state !== "photo";
    $("still").hidden = state !== "frozen";
    $("video").hidden = state === "photo";
    const words = { frozen: "Resume", photo: "Camera" }[state as string] ?? "Freeze";
    setText($("freeze-text"), words);
    $("freeze").dataset.action = words.toLowerCase();
    $("freeze").setAttribute("aria-pressed", String(state === "frozen"));
    if (COVERED.includes(state)) this.clear();
  }

  progress(share: number | undefined, text: string): void {
    const bar = $<HTMLProgressElement>("progress");
    if (share === undefined) bar.removeAttribute("value");
    else bar.value = share;
    setText($("veil-title"), text);
  }

  /** How far loading and checking is. */
  follow(progress: Progress): void {
    switch (progress.stage) {
      case "download":
        this.progress(
          progress.loaded / progress.total,
          `Loading, ${megabytes(progress.loaded)} of ${megabytes(progress.total)}`,
        );
        break;
      case "compile":
        this.progress(undefined, "Preparing the model");
        break;
      case "golden":
        this.progress(
          progress.done / progress.frames,
          `Checking golden frame ${progress.done} of ${progress.frames}`,
        );
        this.checked("busy", `${progress.done} of ${progress.frames} checked`);
    }
  }

  /** The label; null is unknown, undefined nothing to say. */
  label(label: string | null | undefined, instead = "Unknown"): void {
    const text = label ?? (label === null ? instead : "\u2013");
    const place = $("label");
    setText(place, text);
    place.classList.remove("told");
    place.classList.toggle("nothing", typeof label !== "string");
    place.classList.toggle("long", text.length > LONG_LABEL);
    if (text !== this.#spoken) setText($("spoken"), label === undefined ? "" : text);
    this.#spoken = label === undefined ? undefined : text;
  }

  /** Why a photo gets no label. */
  refuse(reason: string): void {
    this.label(null, `This photo cannot be used: ${reason}.`);
    $("label").classList.add("told");
    $("photo").hidden = true;
  }

  answer(shown: Shown): void {
    this.label(shown.label, shown.low_information ? "Nothing visible" : "Unknown");
    this.bars(shown.top);
    this.figures(shown.age_ms, shown.fps, shown.prediction.invoke_ms);
  }

  bars(top: LabelScore[]): void {
    fill($("top"), top, (row, one, i) => {
      const [name, value, track] = parts(row, ["bdi", ""], ["span", "value"], ["span", "track"]);
      const [bar] = parts(track!, ["span", "fill"]);
      row.className = i === 0 ? "first" : "";
      setText(name!, one.label);
      name!.title = one.label;
      setText(value!, percent(one.score));
      bar!.style.transform = `scaleX(${Math.min(1, Math.max(0, one.score))})`;
    });
  }

  figures(age_ms: number | undefined, fps: number | undefined, invoke_ms?: number): void {
    setText($("age"), age_ms === undefined ? "\u2013" : age_ms.toFixed(0));
    setText($("fps"), fps === undefined ? "\u2013" : fps.toFixed(0));
    setText($("invoke"), invoke_ms === undefined ? "\u2013" : milliseconds(invoke_ms));
  }

  clear(): void {
    this.label(undefined);
    this.bars([]);
    this.figures(undefined, undefined);
  }

  /** The chip: whether the golden frames were passed. */
  checked(state: "busy" | "good" | "bad", text: string): void {
    $("checked").dataset.state = state;
    setText($("checked-text"), text);
  }
}
