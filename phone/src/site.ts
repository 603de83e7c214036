// What `edgetl phone` wrote: the list of files that index.html carries, so that whoever has the
// one page has the hashes of all else.

export interface SiteFile {
  sha256: string;
  bytes: number;
  /** Not for the page itself, but for the home screen. */
  aside?: true;
}

export interface Site {
  /** Twelve hex digits over all files: the folder that holds them, and the name of the cache. */
  version: string;
  /** Name of the model. */
  name: string;
  /** Name of the variant, such as `litert-int8`. */
  variant: string;
  /** By path within the folder of the version. */
  files: Record<string, SiteFile>;
}

/** Of the builds of LiteRT.js: `plain` needs relaxed SIMD, which iPhones lack. */
export type Build = "plain" | "compat";

export const BUILDS: Record<Build, string> = {
  plain: "litert/litert_wasm_internal",
  compat: "litert/litert_wasm_compat_internal",
};

/** The files that a phone with this build needs, of which the page works without a network. */
export function needed(site: Site, build: Build): string[] {
  const other = BUILDS[build === "plain" ? "compat" : "plain"];
  const isNeeded = (path: string) => !site.files[path]!.aside && !path.startsWith(`${other}.`);
  return Object.keys(site.files).filter(isNeeded);
}
