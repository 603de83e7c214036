// The page without a network, and its updates.

import { cacheName, Files } from "../files";
import { BUILDS, type Build, needed, type Site } from "../site";

/**
 * Registers the service worker.
 *
 * Args:
 *   onUpdate: Called when a new version is there, whole; what it is given makes it take over.
 *
 * Returns: whether the page now opens without a network.
 */
export async function serveOffline(
  base: string,
  site: Site,
  onUpdate: (takeOver: () => void) => void,
): Promise<boolean> {
  if (!("serviceWorker" in navigator)) return false;
  let registration: ServiceWorkerRegistration;
  try {
    registration = await navigator.serviceWorker.register("sw.js", { updateViaCache: "none" });
  } catch {
    // Not allowed in private windows and in some frames: the page works with a network only.
    return false;
  }
  // Another one may have a scope that holds this folder.
  const { controller } = navigator.serviceWorker;
  const controlled = controller?.scriptURL === new URL("sw.js", base).href;
  const offer = () => {
    if (registration.waiting && controlled) {
      onUpdate(() => registration.waiting?.postMessage("take over"));
    }
  };
  const follow = () => {
    offer();
    registration.installing?.addEventListener("statechange", offer);
  };
  // The browser may have found it already, by itself.
  follow();
  registration.addEventListener("updatefound", follow);
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    // On a first visit the page is of the worker's own version.
    if (controlled) location.reload();
  });
  // Browsers look when they please, and an app on the home screen may stay open for days.
  const look = () => void (document.hidden || registration.update().catch(() => undefined));
  if (controlled) look();
  document.addEventListener("visibilitychange", look);
  return (await becomesActive(registration)) && (await isStored(base, site));
}

async function becomesActive(registration: ServiceWorkerRegistration): Promise<boolean> {
  const first = registration.installing;
  if (registration.active || !first) return true;
  return new Promise((resolve) => {
    first.addEventListener("statechange", () => {
      if (first.state === "activated") resolve(true);
      // Its installation failed, as where there is no room.
      if (first.state === "redundant") resolve(Boolean(registration.active));
    });
  });
}

// The page itself, and all of one build.
async function isStored(base: string, site: Site): Promise<boolean> {
  const files = new Files(base, site);
  const page = await (await caches.open(cacheName(base, site.version))).match(base);
  const builds = Object.keys(BUILDS) as Build[];
  const whole = await Promise.all(builds.map((build) => files.areStored(needed(site, build))));
  return Boolean(page) && whole.includes(true);
}
