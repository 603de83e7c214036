import { EdgetlError } from "./errors";
import type { Site, SiteFile } from "./site";

/** Name of the cache of one version at one address; several pages may share an origin. */
export function cacheName(base: string, version: string): string {
  return `${cachePrefix(base)}${version}`;
}

export function cachePrefix(base: string): string {
  return `edgetl ${new URL(base).pathname} `;
}

/** Absolute address of a file of a version. */
export function addressOf(base: string, version: string, path: string): string {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return new URL(`v-${version}/${encoded}`, base).href;
}

export async function sha256(data: BufferSource): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export type Progress = (loaded: number, total: number) => void;

/**
 * The files of one version. Every byte is checked against the list in index.html, wherever it
 * came from; what is not in the cache is fetched, checked and put there.
 */
export class Files {
  #cache: Promise<Cache | undefined>;
  #read = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();

  /** Args: base: absolute address of the page's folder, with its slash. */
  constructor(
    private readonly base: string,
    private readonly site: Site,
  ) {
    // A browser may refuse storage, as in private windows: the page works, with a network only.
    this.#cache = openCache(cacheName(base, site.version));
  }

  address(path: string): string {
    return addressOf(this.base, this.site.version, path);
  }

  /** The checked bytes of a file; kept in memory until `forget`. */
  read(path: string, progress?: Progress): Promise<Uint8Array<ArrayBuffer>> {
    let data = this.#read.get(path);
    if (!data) this.#read.set(path, (data = this.#load(path, progress)));
    return data;
  }

  /** Gives the memory back. */
  forget(): void {
    this.#read.clear();
  }

  async #load(path: string, progress?: Progress): Promise<Uint8Array<ArrayBuffer>> {
    const expected = this.site.files[path];
    if (!expected) throw new EdgetlError(`${path} does not belong to this page`);
    const cached = await this.#readCached(path, expected);
    if (cached) {
      progress?.(cached.length, expected.bytes);
      return cached;
    }
    const data = await fetchVerified(this.address(path), path, expected, progress);
    await this.#store(path, data);
    return data;
  }

  /** Whether all of these are in the cache, so that they need no network. */
  async areStored(paths: readonly string[]): Promise<boolean> {
    const cache = await this.#cache;
    if (!cache) return false;
    const found = await Promise.all(paths.map((path) => cache.match(this.address(path))));
    return found.every(Boolean);
  }

  async #readCached(path: string, expected: SiteFile) {
    const response = await (await this.#cache)?.match(this.address(path));
    if (!response) return undefined;
    const data = new Uint8Array(await response.arrayBuffer());
    return (await sha256(data)) === expected.sha256 ? data : undefined;
  }

  async #store(path: string, data: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      await (await this.#cache)?.put(this.address(path), respond(path, data));
    } catch {
      // No room: the page works, but not without a network; `areStored` tells.
    }
  }
}

async function openCache(name: string): Promise<Cache | undefined> {
  try {
    return await caches.open(name);
  } catch {
    return undefined;
  }
}

const TYPES: Record<string, string> = {
  css: "text/css",
  js: "text/javascript",
  json: "application/json",
  png: "image/png",
  svg: "image/svg+xml",
  txt: "text/plain; charset=utf-8",
  md: "text/plain; charset=utf-8",
  wasm: "application/wasm",
};

function contentType(path: string): string {
  return TYPES[path.slice(path.lastIndexOf(".") + 1)] ?? "application/octet-stream";
}

/** A file as the cache keeps it. */
export function respond(path: string, data: Uint8Array<ArrayBuffer>): Response {
  const headers = { "Content-Type": contentType(path), "Content-Length": `${data.length}` };
  return new Response(data, { headers });
}

/** The bytes of a file from the network, if they are those that the list names. */
export async function fetchVerified(
  address: string,
  path: string,
  expected: SiteFile,
  progress?: Progress,
): Promise<Uint8Array<ArrayBuffer>> {
  // The browser may have kept damaged bytes for a year; the second time it asks the server.
  for (const cache of ["default", "reload"] as const) {
    const data = await download(address, expected.bytes, cache, progress);
    if (data.length === expected.bytes && (await sha256(data)) === expected.sha256) return data;
  }
  throw new EdgetlError(
    `the file ${path} is damaged on the server, or the page is just being replaced; reload in a ` +
      "minute, and if that does not help, write the page again with: edgetl phone",
  );
}

async function download(
  address: string,
  bytes: number,
  cache: RequestCache,
  progress?: Progress,
): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  try {
    response = await fetch(address, { credentials: "same-origin", cache });
  } catch (error) {
    throw new EdgetlError(
      `the file ${shown(address)} could not be fetched; connect to the network once and reload`,
      { cause: error },
    );
  }
  if (!response.ok || !response.body) {
    throw new EdgetlError(
      `the file ${shown(address)} is not on the server (status ${response.status}); reload, and if that ` +
        "does not help, copy the whole folder that edgetl phone wrote",
    );
  }
  return collect(response.body.getReader(), bytes, progress);
}

async function collect(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  bytes: number,
  progress?: Progress,
): Promise<Uint8Array<ArrayBuffer>> {
  const data = new Uint8Array(bytes);
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return data.subarray(0, length);
    // More than was promised is never kept.
    if (length + value.length > bytes) {
      await reader.cancel();
      return new Uint8Array(0);
    }
    data.set(value, length);
    length += value.length;
    progress?.(length, bytes);
  }
}

function shown(address: string): string {
  return new URL(address).pathname.split("/").pop() ?? address;
}
