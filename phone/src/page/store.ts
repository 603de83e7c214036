import { type IDBPDatabase, openDB } from "idb";

import { EdgetlError } from "../errors";

/** What a store lists. */
export interface Listed {
  id?: number;
  /** Of its data. */
  bytes: number;
}

/**
 * Things that are kept in the browser. Their data lies apart, so that the list is short; as bytes,
 * since not every Safari stores blobs.
 */
export class Store<Item extends Listed, Data> {
  readonly #items: string;
  readonly #data: string;
  readonly #database: Promise<IDBPDatabase>;

  /**
   * Args:
   *   name: Of the database.
   *   items: Name of the list in it.
   *   data: Name of the data in it.
   */
  constructor(name: string, items: string, data: string) {
    this.#items = items;
    this.#data = data;
    this.#database = openDB(name, 1, {
      upgrade: (database) => {
        database.createObjectStore(items, { keyPath: "id", autoIncrement: true });
        database.createObjectStore(data);
      },
    });
    // Whoever uses it is told; nobody may.
    this.#database.catch(() => undefined);
  }

  async list(): Promise<Item[]> {
    return (await this.#database).getAll(this.#items);
  }

  async read(id: number): Promise<Data | undefined> {
    return (await this.#database).get(this.#data, id);
  }

  /** Args: full: What to say where there is no room. */
  async add(item: Item, data: Data, full: string): Promise<void> {
    try {
      const adding = await this.#begin();
      const id = await adding.objectStore(this.#items).add(item);
      await Promise.all([adding.objectStore(this.#data).add(data, id), adding.done]);
    } catch (error) {
      throw new EdgetlError(full, { cause: error });
    }
  }

  async change(item: Item): Promise<void> {
    await (await this.#database).put(this.#items, item);
  }

  async remove(id: number): Promise<void> {
    const removing = await this.#begin();
    const stores = [this.#items, this.#data].map((one) => removing.objectStore(one));
    await Promise.all([...stores.map((one) => one.delete(id)), removing.done]);
  }

  async clear(): Promise<void> {
    const clearing = await this.#begin();
    const stores = [this.#items, this.#data].map((one) => clearing.objectStore(one));
    await Promise.all([...stores.map((one) => one.clear()), clearing.done]);
  }

  async #begin() {
    return (await this.#database).transaction([this.#items, this.#data], "readwrite");
  }
}
