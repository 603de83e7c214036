// The service worker: the page without a network. Each version has a folder and a cache of its
// own, so that files of two versions never mix. On a first visit the page fills the cache while it
// loads; an update is fetched here, whole, before the new version may take over.

/// <reference lib="webworker" />
import { addressOf, cacheName, cachePrefix, sha256 } from "./files";
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
  const page = await fetch(base, { cache: "no-cache" });
  const text = await page.clone().text();
  if (!page.ok || !text.includes(`"version":"${SITE.version}"`)) {
    throw new Error("the page on the server is of another version");
  }
  const cache = await caches.open(name);
  const old = await openOld();
  const build = await findBuild(old);
  // Not on a first visit: the page itself is fetching all of it.
  if (build) for (const path of needed(SITE, build)) await store(cache, old, path);
  await cache.put(base, page);
}

async function activate(): Promise<void> {
  for (const one of await listCaches()) if (one !== name) await caches.delete(one);
  await self.clients.claim();
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(name);
  const isPage =
    request.mode === "navigate" && [base, `${base}index.html`].includes(bare(request.url));
  const kept = await cache.match(isPage ? base : request.url);
  return kept ?? fetch(request);
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
  const { sha256: expected } = SITE.files[path]!;
  if (await cache.match(address(path))) return;
  const response = (await findEqual(old, path, expected)) ?? (await fetch(address(path)));
  const data = await response.clone().arrayBuffer();
  if (!response.ok || (await sha256(data)) !== expected) {
    throw new Error(`${path} on the server is damaged or of another version`);
  }
  await cache.put(address(path), response);
}

// Of an update, most files are the same.
async function findEqual(old: Cache[], path: string, expected: string) {
  // Behind the folder of the version.
  const suffix = address(path).slice(address("").length - 1);
  for (const cache of old) {
    for (const request of await cache.keys()) {
      if (!request.url.endsWith(suffix)) continue;
      const response = await cache.match(request);
      if (response && (await sha256(await response.clone().arrayBuffer())) === expected) {
        return response;
      }
    }
  }
  return undefined;
}
