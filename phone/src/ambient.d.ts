// What build.mjs puts in.

declare const LITERT_VERSION: string;

declare module "*.wasm" {
  const data: Uint8Array<ArrayBuffer>;
  export default data;
}

// Made of bundle.schema.json, with Ajv; it also fills in defaults.
declare module "*/made/validate" {
  const validate: {
    (data: unknown): boolean;
    errors?: { instancePath: string; message?: string }[] | null;
  };
  export default validate;
}
