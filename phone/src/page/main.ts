// Starts the page, and gives others a hook to it.

import type { Site } from "../site";
import { App } from "./app";
import { $ } from "./elements";
import { describeOffline } from "./menu";
import { serveOffline } from "./offline";

const site = JSON.parse($("site").textContent!) as Site;
const base = new URL("./", location.href).href;
const app = new App(site, base);
app.listen();
app.start();

/** For tests and for pages that embed this one; the README describes it. */
const hook = {
  get ready() {
    return app.ready.then(({ build, golden, labels }) => ({
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
void app.ready
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
