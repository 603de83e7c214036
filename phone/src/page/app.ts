// The page: loads and checks the model, then shows what the camera sees.

import { decide, rank } from "../classify/prediction";
import { blamesModel, describe, EdgetlError } from "../errors";
import type { Site } from "../site";
import type { Progress, Started } from "../worker/protocol";
import { BenchmarkPanel } from "./benchmark_panel";
import { Camera, INSECURE } from "./camera";
import { $, megabytes } from "./elements";
import { copyPicture, KeptPanel } from "./kept_panel";
import { Live, type Shown } from "./live";
import { describeModel, describeOffline } from "./menu";
import { Model } from "./model";
import { serveOffline } from "./offline";
import { measure, type Report } from "./report";
import { View } from "./view";

const RESTART_AFTER_MS = 10_000;

/** What `classify` of the hook answers. */
export interface Answer {
  /** Null where the frame is rejected. */
  label: string | null;
  score: number;
  top: { label: string; score: number }[];
  preprocess_ms: number;
  invoke_ms: number;
}

class App {
  readonly #view = new View();
  readonly #camera: Camera;
  readonly #kept: KeptPanel;
  #model: Model;
  #live: Live | undefined;
  /** The answer to the frozen picture. */
  #frozen: Promise<Shown | undefined> = Promise.resolve(undefined);
  #restartedAt = -Infinity;
  #lock: WakeLockSentinel | undefined;

  constructor(
    private readonly site: Site,
    private readonly base: string,
  ) {
    this.#camera = new Camera(
      $<HTMLVideoElement>("video"),
      (captured_ms) => this.#live?.take(captured_ms),
      () => this.#loseCamera(),
    );
    this.#kept = new KeptPanel(new URL(base).pathname);
    this.#model = this.#makeModel();
  }

  /** Loads and checks everything; what it resolves to is that of the hook. */
  async load(): Promise<Started> {
    this.#view.show("loading", "Loading");
    try {
      if (!isSecureContext) throw new EdgetlError(INSECURE);
      const started = await this.#model.start((progress) => this.#showProgress(progress));
      this.#begin(started);
      return started;
    } catch (error) {
      this.#failModel(error);
      throw error;
    }
  }

  async classify(blob: Blob): Promise<Answer> {
    // One of the page around it is of another class Blob.
    if (!("arrayBuffer" in Object(blob))) throw new TypeError("give a Blob or File of an image");
    const naming = await ready;
    const prediction = await this.#model.ask("classifyBlob", { blob });
    const top = rank(naming.labels, prediction.scores);
    return {
      label: decide(naming, prediction.scores),
      score: top[0]!.score,
      top,
      preprocess_ms: prediction.preprocess_ms,
      invoke_ms: prediction.invoke_ms,
    };
  }

  async bench(runs = 300, seconds = 0, progress?: (share: number) => void): Promise<Report> {
    const started = await ready;
    return measure(this.#model, this.site, started, runs, seconds, progress);
  }

  /** Connects buttons and the browser's events. */
  listen(): void {
    $("start").addEventListener("click", () => void this.#startCamera());
    $("freeze").addEventListener("click", () => void this.#freezeOrResume());
    $("switch").addEventListener("click", () => void this.#switchCamera());
    $("torch").addEventListener("click", () => void this.#toggleTorch());
    $("keep").addEventListener("click", () => void this.#keep());
    for (const id of ["more", "checked"]) {
      $(id).addEventListener("click", () => $<HTMLDialogElement>("menu").showModal());
    }
    $<HTMLInputElement>("file").addEventListener("change", ({ target }) => {
      const input = target as HTMLInputElement;
      if (input.files?.[0]) void this.#showPhoto(input.files[0]);
      input.value = "";
    });
    document.addEventListener("visibilitychange", () => void this.#followVisibility());
    document.addEventListener("paste", ({ clipboardData }) => {
      const file = clipboardData?.files[0];
      if (file) void this.#showPhoto(file);
    });
    new BenchmarkPanel((...options) => this.#benchmark(...options));
  }

  #makeModel(): Model {
    return new Model(this.base, this.site, (error) => this.#restartModel(error));
  }

  #showProgress(progress: Progress): void {
    switch (progress.stage) {
      case "download":
        this.#view.progress(
          progress.loaded / progress.total,
          `Loading, ${megabytes(progress.loaded)} of ${megabytes(progress.total)}`,
        );
        break;
      case "compile":
        this.#view.progress(undefined, "Preparing the model");
        break;
      case "golden":
        this.#view.progress(
          progress.done / progress.frames,
          `Checking golden frame ${progress.done} of ${progress.frames}`,
        );
        this.#view.checked("busy", `${progress.done} of ${progress.frames} checked`);
    }
  }

  #begin(started: Started): void {
    this.#live = new Live(
      this.#model,
      this.#camera,
      started,
      (shown) => this.#show(shown),
      (error) => this.#stop(error),
    );
    this.#view.checked("good", "Model checked");
    describeModel(this.site, started, this.base);
    this.#kept.begin(started);
    this.#view.show(
      "ready",
      "Checked",
      "the model computes here what was measured; what the camera sees stays on this phone",
      "Start the camera",
    );
    // The model may have been started again.
    void (this.#camera.running ? this.#resume() : this.#startIfAllowed());
  }

  // The browser's question is for a tap, and a page within a page does not ask by itself.
  async #startIfAllowed(): Promise<void> {
    if (window.top !== window || !navigator.permissions) return;
    try {
      const permission = await navigator.permissions.query({ name: "camera" as PermissionName });
      permission.addEventListener("change", () => {
        if (permission.state === "granted" && this.#view.state === "stopped") {
          void this.#startCamera();
        }
      });
      if (permission.state === "granted" && this.#view.state === "ready") await this.#startCamera();
    } catch {
      // Not every browser knows this permission by name.
    }
  }

  async #startCamera(facing = this.#camera.facing): Promise<void> {
    if (this.#view.state === "failed" || !this.#live) return;
    try {
      this.#view.show("loading", "Starting the camera");
      this.#view.progress(undefined, "Starting the camera");
      await this.#camera.open(facing);
      // Another one is being opened.
      if (!this.#camera.running) return;
      // Or a photo was chosen meanwhile.
      if (this.#view.state === "loading") await this.#resume();
      $("switch").hidden = !(await this.#camera.canSwitch());
      $("torch").hidden = !this.#camera.hasTorch;
      $("torch").setAttribute("aria-pressed", "false");
      $("video").classList.toggle("mirrored", this.#camera.facing === "user");
      $("still").classList.toggle("mirrored", this.#camera.facing === "user");
    } catch (error) {
      this.#stop(error);
    }
  }

  async #resume(): Promise<void> {
    if (!this.#live) return;
    this.#live.reset();
    this.#live.paused = false;
    this.#view.show("live");
    this.#view.clear();
    await this.#keepAwake();
  }

  #show(shown: Shown): void {
    if (this.#view.state !== "live") return;
    this.#view.answer(shown);
    const live = this.#live!;
    this.#kept.consider(shown, $<HTMLVideoElement>("video"), (still) => live.judge(still));
  }

  // What is frozen or chosen stays; who goes on to the camera has it opened again.
  #loseCamera(): void {
    if (["frozen", "photo"].includes(this.#view.state)) return;
    this.#stop(new EdgetlError("the camera was taken away or switched off"));
  }

  // The camera's trouble, and that of a single frame: the model is fine.
  #stop(error: unknown): void {
    if (this.#view.state === "failed") return;
    this.#camera.close();
    void this.#lock?.release();
    this.#view.show("stopped", "No camera", describe(error), "Try again");
  }

  #failModel(error: unknown): void {
    this.#camera.close();
    this.#model.close();
    this.#view.checked("bad", "Not checked");
    const title = blamesModel(error) ? "This model is not used here" : "The page cannot start";
    this.#view.show("failed", title, describe(error));
  }

  // A phone that needs memory ends workers; one that is ended again at once has too little.
  #restartModel(error: Error): void {
    const now = performance.now();
    this.#live!.paused = true;
    if (now - this.#restartedAt < RESTART_AFTER_MS) {
      this.#failModel(error);
      ready = Promise.reject(error);
    } else {
      this.#restartedAt = now;
      this.#model = this.#makeModel();
      ready = this.load();
    }
    ready.catch(() => undefined);
  }

  async #freezeOrResume(): Promise<void> {
    if (this.#view.state === "live") return this.#freeze();
    if (this.#camera.running) return this.#resume();
    await this.#startCamera();
  }

  #freeze(): void {
    this.#live!.paused = true;
    copyPicture($<HTMLVideoElement>("video"), $<HTMLCanvasElement>("still"));
    this.#view.show("frozen");
    this.#frozen = this.#answerStill(this.#live!);
  }

  // The picture is later than the last answer: it gets its own.
  async #answerStill(live: Live): Promise<Shown | undefined> {
    try {
      const shown = await live.judge($<HTMLCanvasElement>("still"));
      if (this.#view.state === "frozen") this.#view.answer(shown);
      return shown;
    } catch (error) {
      if (this.#live === live) this.#stop(error);
      return undefined;
    }
  }

  async #keep(): Promise<void> {
    if (this.#view.state === "live") this.#freeze();
    const shown = await this.#frozen;
    if (shown) await this.#kept.pick(shown, $<HTMLCanvasElement>("still"));
  }

  async #switchCamera(): Promise<void> {
    await this.#startCamera(this.#camera.facing === "user" ? "environment" : "user");
  }

  async #toggleTorch(): Promise<void> {
    const on = $("torch").getAttribute("aria-pressed") !== "true";
    await this.#camera.setTorch(on);
    $("torch").setAttribute("aria-pressed", String(on));
  }

  async #showPhoto(file: Blob): Promise<void> {
    if (this.#view.state === "failed" || !this.#live) return;
    this.#live.paused = true;
    const photo = $<HTMLImageElement>("photo");
    URL.revokeObjectURL(photo.src);
    const address = (photo.src = URL.createObjectURL(file));
    this.#view.show("photo");
    this.#view.clear();
    try {
      const answer = await this.classify(file);
      if (this.#view.state !== "photo" || photo.src !== address) return;
      this.#view.label(answer.label);
      this.#view.bars(answer.top);
      this.#view.figures(undefined, undefined, answer.invoke_ms);
    } catch (error) {
      if (this.#view.state === "photo") this.#view.refuse(describe(error));
    }
  }

  // A hidden page classifies nothing; the camera is kept, so that nobody is asked again.
  async #followVisibility(): Promise<void> {
    if (document.hidden || this.#view.state !== "live") return;
    if (!this.#camera.running) return this.#startCamera();
    this.#live?.reset();
    await $<HTMLVideoElement>("video").play();
    await this.#keepAwake();
  }

  async #keepAwake(): Promise<void> {
    try {
      this.#lock = await navigator.wakeLock?.request("screen");
    } catch {
      // Not granted when the battery is low: the page works as well.
    }
  }

  async #benchmark(
    runs: number,
    seconds: number,
    progress: (share: number) => void,
  ): Promise<Report> {
    const live = this.#live;
    const paused = live?.paused ?? true;
    if (live) live.paused = true;
    await this.#keepAwake();
    try {
      return await this.bench(runs, seconds, progress);
    } finally {
      if (live && !paused) {
        live.reset();
        live.paused = false;
      }
    }
  }
}

const site = JSON.parse($("site").textContent!) as Site;
const base = new URL("./", location.href).href;
const app = new App(site, base);
app.listen();
let ready = app.load();
// Whoever asks is told; the page itself has shown it.
ready.catch(() => undefined);

/** For tests and for pages that embed this one; the README describes it. */
const hook = {
  get ready() {
    return ready.then(({ build, golden, labels }) => ({
      golden: "passed" as const,
      worst_difference: golden.worst_difference,
      build,
      variant: site.variant,
      labels,
    }));
  },
  classify: (blob: Blob) => app.classify(blob),
  bench: (runs?: number, seconds?: number) => app.bench(runs, seconds),
};
Object.assign(window, { edgetl: hook });

for (const button of document.querySelectorAll("dialog .close")) {
  button.addEventListener("click", () => button.closest("dialog")!.close());
}
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
}

// After the model: on a first visit both would fetch the same files.
void ready
  .catch(() => undefined)
  .then(() =>
    serveOffline(base, site, (takeOver) => {
      // One that fails has nothing to lose.
      if (document.body.dataset.state === "failed") return takeOver();
      $("update").hidden = false;
      $("update-now").onclick = takeOver;
    }),
  )
  .then(describeOffline);
