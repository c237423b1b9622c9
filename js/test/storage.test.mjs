// The tests' own storage against the contract of all storages: what the tests of the client use must keep to it.

import test from "node:test";
import { contract, playCase } from "./support/contract.mjs";
import { Shelf, ShelfStorage } from "./support/shelf.mjs";

const stage = () => {
  const shelf = new Shelf();
  return {
    make() {
      const told = [];
      let it = new ShelfStorage(shelf);
      return {
        open: (scope) => it.open(scope, (records) => told.push(...records)),
        write: (ops) => it.write(ops),
        fails: (ops) => {
          it.failing = new Error("full");
          return it.write(ops).finally(() => (it.failing = undefined));
        },
        erase: () => it.erase(),
        close: () => it.close(),
        die: () => it.close(),
        adopted: () => told,
      };
    },
    put: (server, user, key, value) => shelf.records([server, user]).set(key, value),
  };
};

for (const kind of ["cases", "shared"]) {
  for (const each of contract[kind]) test(each.name, () => playCase(stage(), each));
}
