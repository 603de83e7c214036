// The service worker: the page without a network. Each version has a folder and a cache of its
// own, so that files of two versions never mix. On a first visit the page fills the cache while it
// loads; an update is fetched here, whole, before the new version may take over.

/// <reference lib="webworker" />
import { addressOf, cacheName, cachePrefix, fetchVerified, respond, sha256 } from "./files";
import { BUILDS, type Build, needed, type Site } from "./site";

declare const self: ServiceWorkerGlobalScope;
// `edgetl phone` writes it before this code.
declare const SITE: Site;

const base = new URL("./", self.location.href).href;
const name = cacheName(base, SITE.version);
const address = (path: string) => addressOf(base, SITE.version, path);

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(base)) event.respondWith(answer(event.request));
});
self.addEventListener("message", (event) => {
  if (event.data === "take over") void self.skipWaiting();
});

async function install(): Promise<void> {
  const page = await fetchPage();
  const cache = await caches.open(name);
  const old = await openOld();
  const build = await findBuild(old);
  try {
    // Not on a first visit: the page itself is fetching all of it.
    if (build) for (const path of needed(SITE, build)) await store(cache, old, path);
    await cache.put(base, page);
  } catch (error) {
    // Half an update takes the room of kept frames; with a poor network the rest comes later.
    if (build && error instanceof DOMException) await caches.delete(name);
    throw error;
  }
}

async function fetchPage(): Promise<Response> {
  const page = await fetch(base, { cache: "no-cache" });
  if (!page.ok || !isOurs(await page.clone().text())) {
    throw new Error("the page on the server is of another version, or cut");
  }
  return page;
}

// Of this version, up to its end.
function isOurs(page: string): boolean {
  return page.includes(`"version":"${SITE.version}"`) && page.trimEnd().endsWith("</html>");
}

async function activate(): Promise<void> {
  for (const one of await listCaches()) if (one !== name) await caches.delete(one);
  await self.clients.claim();
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(name);
  const url = bare(request.url);
  const isPage = request.mode === "navigate" && [base, `${base}index.html`].includes(url);
  const kept = await cache.match(isPage ? base : url);
  const good = kept && (isPage ? isOurs(await kept.clone().text()) : await isIntact(url, kept));
  return good ? kept : fetch(request);
}

// Storage can be damaged, too. The page refuses such a file, and would for ever.
async function isIntact(url: string, kept: Response): Promise<boolean> {
  const path = Object.keys(SITE.files).find((one) => address(one) === url);
  return !path || (await sha256(await kept.clone().arrayBuffer())) === SITE.files[path]!.sha256;
}

function bare(url: string): string {
  return url.replace(/[?#].*$/, "");
}

async function listCaches(): Promise<string[]> {
  return (await caches.keys()).filter((one) => one.startsWith(cachePrefix(base)));
}

async function openOld(): Promise<Cache[]> {
  const others = (await listCaches()).filter((one) => one !== name);
  return Promise.all(others.map((one) => caches.open(one)));
}

// Which build of LiteRT.js the version before had.
async function findBuild(old: Cache[]): Promise<Build | undefined> {
  const kept = (await Promise.all(old.map((cache) => cache.keys()))).flat();
  const builds: Build[] = ["plain", "compat"];
  return builds.find((build) => kept.some(({ url }) => url.endsWith(`${BUILDS[build]}.wasm`)));
}

async function store(cache: Cache, old: Cache[], path: string): Promise<void> {
  const expected = SITE.files[path]!;
  if (await cache.match(address(path))) return;
  const equal = await findEqual(old, path, expected.sha256);
  const data = equal ?? (await fetchVerified(address(path), path, expected));
  await cache.put(address(path), respond(path, data));
}

// Of an update, most files are the same.
async function findEqual(old: Cache[], path: string, expected: string) {
  // Behind the folder of the version.
  const suffix = address(path).slice(address("").length - 1);
  for (const cache of old) {
    for (const request of await cache.keys()) {
      if (!request.url.endsWith(suffix)) continue;
      const data = new Uint8Array(await (await cache.match(request))!.arrayBuffer());
      if ((await sha256(data)) === expected) return data;
    }
  }
  return undefined;
}
