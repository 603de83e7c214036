// The page without a network, and its updates.

/**
 * Registers the service worker.
 *
 * Args:
 *   onUpdate: Called when a new version is there, whole; what it is given makes it take over.
 */
export async function serveOffline(onUpdate: (takeOver: () => void) => void): Promise<boolean> {
  if (!("serviceWorker" in navigator)) return false;
  let registration: ServiceWorkerRegistration;
  try {
    registration = await navigator.serviceWorker.register("sw.js", { updateViaCache: "none" });
  } catch {
    // Not allowed in private windows and in some frames: the page works with a network only.
    return false;
  }
  const offer = () => {
    const { waiting } = registration;
    if (waiting && navigator.serviceWorker.controller) {
      onUpdate(() => waiting.postMessage("take over"));
    }
  };
  offer();
  registration.addEventListener("updatefound", () => {
    registration.installing?.addEventListener("statechange", offer);
  });
  const controlled = Boolean(navigator.serviceWorker.controller);
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    // On a first visit the page is of the worker's own version.
    if (controlled) location.reload();
  });
  await navigator.serviceWorker.ready;
  return true;
}
