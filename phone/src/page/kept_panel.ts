import { listClasses, type Naming } from "../classify/prediction";
import type { Started } from "../worker/protocol";
import { describe } from "../errors";
import { $, fill, megabytes, parts, sentence, setText } from "./elements";
import {
  describeAnswer,
  judge,
  type Kept,
  KeptFrames,
  type Kind,
  QUOTA_BYTES,
  UNKNOWN,
} from "./kept";
import type { Lessons } from "./lessons";
import type { Shown } from "./live";

const EVERY_MS = 5000;
const QUALITY = 0.95;
const NOT_CORRECTED = "";

/** The dialogs in which frames are kept, labelled and handed on. */
export class KeptPanel {
  #frames: KeptFrames;
  #started: Started | undefined;
  #naming: Naming | undefined;
  #keptAt = new Map<Kind, number>();
  /** What the dialog is about. */
  #edited: { frame: Kept; jpeg: Blob } | undefined;

  constructor(
    place: string,
    private readonly lessons: Lessons,
  ) {
    this.#frames = new KeptFrames(place);
    $("open-kept").addEventListener("click", () => {
      $<HTMLDialogElement>("menu").close();
      $<HTMLDialogElement>("kept").showModal();
      void this.#tell(() => this.#refresh());
    });
    $("label-save").addEventListener(
      "click",
      () => void this.#tell(() => this.#save(), "label-trouble"),
    );
    $("label-delete").addEventListener(
      "click",
      () => void this.#tell(() => this.#delete(), "label-trouble"),
    );
    $("kept-share").addEventListener("click", () => void this.#tell(() => this.#share()));
    $("kept-save").addEventListener("click", () => void this.#tell(() => this.#download()));
    $("kept-clear").addEventListener("click", () => void this.#tell(() => this.#clear()));
  }

  begin(started: Started): void {
    this.#started = started;
    this.rename(started);
    void this.#tell(() => this.#refresh());
  }

  /** Answers have these names from now on. */
  rename(naming: Naming): void {
    this.#naming = naming;
    const labels = [...listClasses(naming), UNKNOWN];
    const choices = $("label-choices");
    choices.replaceChildren(choices.firstElementChild!);
    for (const label of labels) {
      const row = choices.appendChild(document.createElement("label"));
      const [input, name] = parts(row, ["input", ""], ["bdi", ""]);
      Object.assign(input!, { type: "radio", name: "label", value: label });
      setText(name!, label === UNKNOWN ? "None of these" : label);
    }
  }

  /** Asks for the label of a frozen frame, and keeps it. */
  async pick(shown: Shown, still: HTMLCanvasElement): Promise<void> {
    await this.#tell(async () => {
      const jpeg = await encode(still);
      this.#edit(this.#describe(shown, jpeg, ["picked"]), jpeg);
    });
  }

  /**
   * Keeps a frame by itself, where it is wished for and worth it.
   *
   * Args:
   *   answer: Classifies a picture; that one is kept of which the answer is.
   */
  consider(
    shown: Shown,
    video: HTMLVideoElement,
    answer: (still: HTMLCanvasElement) => Promise<Shown>,
  ): void {
    if (!$<HTMLInputElement>("keep-auto").checked) return;
    const now = performance.now();
    const due = (kind: Kind) => now - (this.#keptAt.get(kind) ?? -Infinity) >= EVERY_MS;
    const likely = judge(shown, this.#naming!);
    if (!likely.some(due)) return;
    for (const kind of likely) this.#keptAt.set(kind, now);
    void this.#tell(async () => {
      const still = document.createElement("canvas");
      copyPicture(video, still);
      const own = await answer(still);
      const kinds = judge(own, this.#naming!);
      const jpeg = await encode(still);
      if (kinds.length) await this.#frames.add(this.#describe(own, jpeg, kinds), jpeg);
      // Safari gives a canvas's memory back late.
      still.width = still.height = 0;
      await this.#refresh();
    });
  }

  #describe(shown: Shown, jpeg: Blob, kinds: Kind[]): Kept {
    const { bundle_sha256 } = this.#started!;
    const answer = describeAnswer(shown, this.#naming!);
    return { bytes: jpeg.size, kinds, bundle_sha256, answer, corrected_label: null };
  }

  #edit(frame: Kept, jpeg: Blob): void {
    this.#edited = { frame, jpeg };
    const picture = $<HTMLImageElement>("label-picture");
    URL.revokeObjectURL(picture.src);
    picture.src = URL.createObjectURL(jpeg);
    const chosen = frame.corrected_label ?? frame.answer.frame_label ?? NOT_CORRECTED;
    for (const input of this.#choices()) input.checked = input.value === chosen;
    $("label-delete").hidden = frame.id === undefined;
    setText($("label-trouble"), "");
    $<HTMLDialogElement>("label-it").showModal();
  }

  #choices(): HTMLInputElement[] {
    return [...$("label-choices").querySelectorAll("input")];
  }

  async #save(): Promise<void> {
    const { frame, jpeg } = this.#edited!;
    frame.corrected_label = this.#choices().find((one) => one.checked)?.value ?? null;
    if (frame.id === undefined) await this.#frames.add(frame, jpeg);
    else await this.#frames.change(frame);
    $<HTMLDialogElement>("label-it").close();
    await this.#refresh();
  }

  async #delete(): Promise<void> {
    await this.#frames.remove(this.#edited!.frame.id!);
    $<HTMLDialogElement>("label-it").close();
    await this.#refresh();
  }

  async #clear(): Promise<void> {
    if (!confirm("Delete all kept frames from this phone?")) return;
    await this.#frames.clear();
    await this.#refresh();
  }

  async #pack(): Promise<Blob> {
    return this.#frames.pack(await this.lessons.pack());
  }

  async #share(): Promise<void> {
    const file = new File([await this.#pack()], name(), { type: "application/zip" });
    if (!navigator.canShare?.({ files: [file] })) return this.#download();
    try {
      await navigator.share({ files: [file], title: file.name });
    } catch (error) {
      // Whoever closes the dialog does not want to hear of it.
      if ((error as Error).name !== "AbortError") throw error;
    }
  }

  async #download(): Promise<void> {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await this.#pack());
    link.download = name();
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  async #refresh(): Promise<void> {
    const frames = await this.#frames.list();
    const bytes = frames.reduce((sum, one) => sum + one.bytes, 0);
    const summary = frames.length ? `${frames.length}, ${megabytes(bytes)}` : "None yet";
    setText($("kept-summary"), summary);
    const room = `${summary} of ${megabytes(QUOTA_BYTES)}; the oldest go first.`;
    setText($("kept-room"), frames.length ? room : "");
    const lessons = (await this.lessons.list()).length;
    setText($("kept-lessons"), lessons ? "The frames of lessons travel with them." : "");
    $("kept-clear").toggleAttribute("disabled", frames.length === 0);
    for (const id of ["kept-share", "kept-save"]) {
      $(id).toggleAttribute("disabled", frames.length + lessons === 0);
    }
    // Thousands of pictures are made only for who looks.
    if ($<HTMLDialogElement>("kept").open) await this.#draw(frames);
  }

  async #draw(frames: Kept[]): Promise<void> {
    const pictures = new Map<Kept, Blob>();
    for (const frame of frames) pictures.set(frame, await this.#frames.read(frame.id!));
    for (const old of $("kept-list").querySelectorAll("img")) URL.revokeObjectURL(old.src);
    fill($("kept-list"), [...frames].reverse(), (row, frame) => {
      const [button] = parts(row, ["button", ""]);
      const [image, text] = parts(button!, ["img", ""], ["bdi", ""]);
      const jpeg = pictures.get(frame)!;
      Object.assign(image!, { src: URL.createObjectURL(jpeg), alt: "" });
      const label = frame.corrected_label ?? (frame.answer.frame_label as string | null);
      setText(text!, label === UNKNOWN ? "None of these" : (label ?? "Unknown"));
      button!.onclick = () => this.#edit(frame, jpeg);
    });
  }

  // Private windows may have no storage, and a phone no room.
  async #tell(work: () => Promise<void>, place = "kept-room"): Promise<void> {
    try {
      await work();
    } catch (error) {
      setText($(place), sentence(describe(error)));
      setText($("kept-summary"), sentence(describe(error)));
    }
  }
}

async function encode(still: HTMLCanvasElement): Promise<Blob> {
  const jpeg = await new Promise<Blob | null>((done) => still.toBlob(done, "image/jpeg", QUALITY));
  if (!jpeg) throw new Error("the frame could not be stored as JPEG");
  return jpeg;
}

/** Copies what a video shows into a canvas of its size. */
export function copyPicture(video: HTMLVideoElement, still: HTMLCanvasElement): void {
  still.width = video.videoWidth;
  still.height = video.videoHeight;
  still.getContext("2d")!.drawImage(video, 0, 0);
}

function name(): string {
  return `edgetl-frames-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.zip`;
}
