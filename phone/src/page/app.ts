import type { Site } from "../site";
import { Model } from "./model";
const site = JSON.parse(document.getElementById("site")!.textContent!) as Site;
const base = new URL("./", location.href).href;
const model = new Model(base, site, (error) => console.log(`${error}`));
(window as any).edgetl = { ready: model.start((p) => console.log(JSON.stringify(p))), model };
