import { EdgetlError } from "../errors";
import { Files } from "../files";
import type { Site } from "../site";
import type { Name, Progress, Reply, Requests, Started } from "../worker/protocol";

const TICK_MS = 1000;
// A worker that says nothing for so many ticks was ended by the browser, which tells nobody. A
// frame takes milliseconds, a slow phone's first compilation many seconds. Ticks and not times: a
// page that is asleep has none.
const SILENT_TICKS: Record<Name, number> = {
  start: 30,
  // The first that looks at features compiles the model once more.
  classify: 8,
  classifyBlob: 20,
  bench: 10,
  useLessons: 60,
  collect: 10,
  finishLesson: 60,
};

interface Waiting {
  name: Name;
  resolve(reply: never): void;
  reject(error: Error): void;
  progress?: (progress: Progress) => void;
  /** Ticks since the worker said something. */
  silent: number;
}

/** The model in its worker, started and checked. */
export class Model {
  #worker: Worker | undefined;
  #waiting = new Map<number, Waiting>();
  #number = 0;
  #watch: number;

  /** Args: onEnd: Called when the worker has ended after its start, with the reason. */
  constructor(
    private readonly base: string,
    private readonly site: Site,
    private readonly onEnd: (error: Error) => void,
  ) {
    this.#watch = window.setInterval(() => this.#checkSilence(), TICK_MS);
  }

  /** Loads everything, checks it, and replays the golden frames. */
  async start(progress?: (progress: Progress) => void): Promise<Started> {
    const files = new Files(this.base, this.site);
    const script = await files.read("worker.js");
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    // A worker of a blob has the page's content security policy.
    this.#worker = new Worker(address);
    URL.revokeObjectURL(address);
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => this.#hear(data));
    this.#worker.addEventListener("error", (event) => this.#end(event.message));
    return this.ask("start", { base: this.base, site: this.site }, [], progress);
  }

  async ask<N extends Name>(
    name: N,
    request: Requests[N]["request"],
    transfer: Transferable[] = [],
    progress?: (progress: Progress) => void,
  ): Promise<Requests[N]["reply"]> {
    const worker = this.#worker;
    if (!worker) throw new EdgetlError("the model is not running");
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { name, resolve, reject, silent: 0, ...(progress && { progress }) });
      worker.postMessage({ id, name, ...request }, transfer);
    });
  }

  close(): void {
    clearInterval(this.#watch);
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #hear(message: Reply): void {
    // It works off one request after the other: all of them have heard.
    for (const one of this.#waiting.values()) one.silent = 0;
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    if ("progress" in message) return waiting.progress?.(message.progress);
    this.#waiting.delete(message.id);
    if ("reply" in message) return waiting.resolve(message.reply as never);
    const error = new EdgetlError(message.error);
    error.name = message.kind;
    waiting.reject(error);
  }

  // A hidden page is not given time.
  #checkSilence(): void {
    if (document.hidden) return;
    // The one that it works on.
    const [first] = this.#waiting.values();
    if (first && ++first.silent > SILENT_TICKS[first.name]) {
      this.#end("it does not answer any more");
    }
  }

  #end(reason: string): void {
    const error = new EdgetlError(`the model's worker ended: ${reason}`);
    this.close();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const one of waiting) one.reject(error);
    // Whoever waits for the start has the error.
    if (!waiting.some(({ name }) => name === "start")) this.onEnd(error);
  }
}
