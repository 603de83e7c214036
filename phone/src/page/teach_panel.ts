import type { Naming } from "../classify/prediction";
import { listClasses } from "../classify/prediction";
import { describe, EdgetlError } from "../errors";
import type { LessonKind, LessonReport } from "../learning/lesson";
import type { Started } from "../worker/protocol";
import { $, fill, parts, sentence, setText } from "./elements";
import {
  isFor,
  type Lesson,
  type Lessons,
  makeLesson,
  type Owner,
  storedFeatures,
} from "./lessons";
import type { Model } from "./model";

const THING_S = 5;
const NOTHING = "";

/** What the panel needs of the page. */
export interface Stage {
  model(): Model;
  /** Shows the camera's picture; false if there is none. */
  goLive(): Promise<boolean>;
  /** Stops asking for answers, until `goLive`. */
  pause(): void;
  /** Answers have these names from now on; `lessons` were given. */
  rename(naming: Naming, lessons: number): void;
}

/** The dialog in which the page is taught. */
export class TeachPanel {
  #started: Started | undefined;
  #owner: Owner | undefined;
  #naming: Naming | undefined;
  #taking: { end_ms: number; stop: () => void } | undefined;

  constructor(
    private readonly lessons: Lessons,
    private readonly stage: Stage,
  ) {
    const on = (id: string, work: () => Promise<void>) =>
      $(id).addEventListener("click", () => void this.#tell(work));
    $("teach-open").addEventListener("click", () => this.#open());
    on("teach-thing", () => this.#take("teach", $<HTMLInputElement>("teach-name").value, THING_S));
    on("teach-place", () => this.#takePlace());
    on("teach-undo", () => this.#undo());
    on("teach-clear", () => this.#clear());
    $("take-cancel").addEventListener("click", () => this.#taking?.stop());
  }

  /** Whether frames are being collected, or a lesson is being made of them. */
  get busy(): boolean {
    return document.body.dataset.taking !== undefined;
  }

  /** Takes up the lessons that were kept for this file. */
  async begin(started: Started, variant: string): Promise<void> {
    this.#started = started;
    this.#owner = { bundle_sha256: started.bundle_sha256, variant };
    this.#naming = started;
    $("teach-open").toggleAttribute("disabled", !started.canTeach);
    this.stage.rename(started, 0);
    await this.#tell(async () => {
      if (started.canTeach) await this.#use();
      await this.#refresh();
    });
  }

  /** Says how far a take is. */
  follow(taken: number | undefined): void {
    if (!this.#taking || taken === undefined) return;
    const rest_s = Math.max(0, Math.ceil((this.#taking.end_ms - performance.now()) / 1000));
    setText($("take-text"), `${rest_s} s, ${taken} ${taken === 1 ? "frame" : "frames"}`);
  }

  #open(): void {
    setText($("teach-trouble"), "");
    setText($("teach-report"), "");
    $<HTMLDialogElement>("teach").showModal();
  }

  async #takePlace(): Promise<void> {
    const label = $<HTMLSelectElement>("place-label").value;
    const seconds = $<HTMLInputElement>("place-seconds").valueAsNumber;
    if (!(seconds >= 1 && seconds <= 600)) throw new EdgetlError("expected 1 to 600 seconds");
    await this.#take("scene", label === NOTHING ? null : label, seconds);
  }

  async #take(kind: LessonKind, label: string | null, seconds: number): Promise<void> {
    const model = this.stage.model();
    // A bad name is refused before anybody holds anything up.
    await model.ask("collect", { take: { kind, label, alike: kind === "scene" } });
    $<HTMLDialogElement>("teach").close();
    try {
      if (!(await this.stage.goLive())) throw new EdgetlError("start the camera first");
      document.body.dataset.taking = kind;
      const what = label === null ? "Nothing known in view" : `Show ${label}`;
      setText($("take-what"), what);
      setText($("take-text"), `${seconds} s`);
      const finished = await this.#wait(seconds);
      this.stage.pause();
      if (!finished) return void (await model.ask("collect", { take: null }));
      setText($("take-what"), "Learning");
      setText($("take-text"), "");
      await this.#finish(model, kind, label);
      $<HTMLDialogElement>("teach").showModal();
    } catch (error) {
      await model.ask("collect", { take: null }).catch(() => undefined);
      $<HTMLDialogElement>("teach").showModal();
      throw error;
    } finally {
      delete document.body.dataset.taking;
      await this.stage.goLive();
    }
  }

  #wait(seconds: number): Promise<boolean> {
    return new Promise<boolean>((done) => {
      const timer = setTimeout(() => done(true), seconds * 1000);
      const stop = () => (clearTimeout(timer), done(false));
      this.#taking = { end_ms: performance.now() + seconds * 1000, stop };
    }).finally(() => (this.#taking = undefined));
  }

  async #finish(model: Model, kind: LessonKind, label: string | null): Promise<void> {
    const { report, notes, frames } = await model.ask("finishLesson", { kind, label });
    if (report.refused) throw new EdgetlError(`Not learned: ${report.refused}`);
    try {
      const lesson = makeLesson(kind, label, frames, this.#owner!, this.#started!);
      await this.lessons.add(
        lesson,
        frames.map(({ jpeg }) => jpeg),
      );
    } finally {
      // What could not be kept is not used.
      await this.#use();
    }
    $<HTMLInputElement>("teach-name").value = "";
    setText($("teach-report"), [describeReport(report, label), ...notes.map(sentence)].join(" "));
    await this.#refresh();
  }

  async #own(): Promise<Lesson[]> {
    return (await this.lessons.list()).filter((one) => isFor(one, this.#owner!));
  }

  async #use(): Promise<void> {
    const own = await this.#own();
    // Few are taught; the others need no memory.
    const naming = own.length
      ? await this.stage.model().ask("useLessons", { lessons: own.map(storedFeatures) })
      : this.#started!;
    if (!own.length && this.#naming !== this.#started) {
      await this.stage.model().ask("useLessons", { lessons: [] });
    }
    this.#naming = naming;
    this.stage.rename(naming, own.length);
  }

  async #undo(): Promise<void> {
    const last = (await this.#own()).at(-1);
    if (last) await this.lessons.remove(last.id!);
    await this.#changed("The last lesson is forgotten.");
  }

  async #clear(): Promise<void> {
    if (!confirm("Forget all lessons? Their frames are deleted from this phone.")) return;
    await this.lessons.clear();
    await this.#changed("All lessons are forgotten.");
  }

  async #changed(text: string): Promise<void> {
    this.stage.pause();
    await this.#use();
    await this.#refresh();
    await this.stage.goLive();
    setText($("teach-report"), text);
  }

  async #refresh(): Promise<void> {
    const all = await this.lessons.list();
    const own = all.filter((one) => isFor(one, this.#owner!));
    fill($("lesson-list"), [...own].reverse(), (row, lesson) => {
      const [name, facts] = parts(row, ["bdi", ""], ["span", "quiet"]);
      setText(name!, lesson.label ?? "Nothing known");
      const count = lesson.answers.length;
      const place = lesson.kind === "scene" ? "the place, " : "";
      const time = new Date(lesson.created_utc).toLocaleString();
      setText(facts!, `${place}${count} frames, ${time}`);
    });
    const others = all.length - own.length;
    const lost = `${others === 1 ? "1 lesson is" : `${others} lessons are`} of another model and not used here.`;
    setText($("lessons-none"), own.length ? "" : "None yet.");
    setText($("lessons-others"), others ? lost : "");
    $("teach-undo").toggleAttribute("disabled", !own.length);
    $("teach-clear").toggleAttribute("disabled", !all.length);
    this.#offerNames();
  }

  #offerNames(): void {
    const labels = listClasses(this.#naming!);
    const options = (list: Element, items: [string, string][]) =>
      fill(
        list,
        items,
        (row, [value, text]) => {
          (row as HTMLOptionElement).value = value;
          setText(row, text);
        },
        "option",
      );
    options(
      $("teach-names"),
      labels.map((one) => [one, one]),
    );
    options($("place-label"), [
      [NOTHING, "Nothing is here"],
      ...labels.map((one): [string, string] => [one, `This is ${one}`]),
    ]);
  }

  async #tell(work: () => Promise<void>): Promise<void> {
    setText($("teach-trouble"), "");
    setText($("teach-report"), "");
    try {
      await work();
    } catch (error) {
      setText($("teach-trouble"), sentence(describe(error)));
    }
  }
}

function describeReport(report: LessonReport, label: string | null): string {
  const { frames, recalled, kept, held_back, fit_ms, check_ms } = report;
  const what = label === null ? "The place is learned." : `${label} is learned.`;
  const held = held_back
    ? " So that they keep their accuracy, it gets its name only where it leads clearly."
    : "";
  return (
    `${what} In the check, ${recalled} of ${frames} frames were recognized. The other classes: ` +
    `${kept.after} of ${kept.photos} validation photos correct, ${kept.before} before.${held} ` +
    `It took ${((fit_ms + check_ms) / 1000).toFixed(1)} s.`
  );
}
