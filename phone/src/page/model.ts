import { EdgetlError } from "../errors";
import { Files } from "../files";
import type { Site } from "../site";
import type { Name, Progress, Reply, Requests, Started } from "../worker/protocol";

// A frame takes milliseconds; a worker that says nothing for so long was ended by the browser.
const SILENCE_MS = 20_000;

interface Waiting {
  resolve(reply: never): void;
  reject(error: Error): void;
  progress?: (progress: Progress) => void;
  heard: number;
}

/** The model in its worker, started and checked. */
export class Model {
  #worker: Worker | undefined;
  #waiting = new Map<number, Waiting>();
  #number = 0;
  #watch: number;

  /** Args: onEnd: Called when the worker has ended, with the reason. */
  constructor(
    private readonly base: string,
    private readonly site: Site,
    private readonly onEnd: (error: Error) => void,
  ) {
    this.#watch = window.setInterval(() => this.#checkSilence(), 1000);
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
      const heard = performance.now();
      this.#waiting.set(id, { resolve, reject, heard, ...(progress && { progress }) });
      worker.postMessage({ id, name, ...request }, transfer);
    });
  }

  close(): void {
    clearInterval(this.#watch);
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #hear(message: Reply): void {
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    waiting.heard = performance.now();
    if ("progress" in message) return waiting.progress?.(message.progress);
    this.#waiting.delete(message.id);
    if ("reply" in message) return waiting.resolve(message.reply as never);
    const error = new EdgetlError(message.error);
    error.name = message.kind;
    waiting.reject(error);
  }

  // A hidden page is not given time.
  #checkSilence(): void {
    const now = performance.now();
    for (const one of this.#waiting.values()) {
      if (document.hidden) one.heard = now;
      else if (now - one.heard > SILENCE_MS) return this.#end("it does not answer any more");
    }
  }

  #end(reason: string): void {
    const error = new EdgetlError(`the model's worker ended: ${reason}`);
    this.close();
    for (const one of this.#waiting.values()) one.reject(error);
    this.#waiting.clear();
    this.onEnd(error);
  }
}
