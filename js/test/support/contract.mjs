// Plays the storage contract, tests/golden/storage/contract.json. A `stage` makes instances of the storage under test:
// each has open, write, fails, erase, close, die, and `adopted()`, what it was told of others.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { until } from "./waiting.mjs";

export const contract = JSON.parse(readFileSync(new URL("../../../tests/golden/storage/contract.json", import.meta.url), "utf8"));

const filled = ([prefix, count, value]) =>
  Array.from({ length: count }, (_, at) => [`${prefix}${String(at).padStart(4, "0")}`, value]);

const sorted = (records) => Object.entries(records).sort(([one], [other]) => (one < other ? -1 : 1));

const play = async (stage, by, step) => {
  const instance = async () => (stage.instances[by] ??= await stage.make());
  if (step.put) return await stage.put(...step.put);
  const it = await instance();
  if (step.open) {
    const given = await it.open({ server: step.open[0], user: step.open[1] });
    if (step.count !== undefined) assert.equal(given.length, step.count);
    else assert.deepEqual(sorted(Object.fromEntries(given)), sorted(step.records));
  } else if (step.write) {
    await it.write(step.write);
  } else if (step.fill) {
    await it.write(filled(step.fill));
  } else if (step.writes) {
    const under = step.writes.map((ops) => it.write(ops));
    if (!step.without_waiting) await Promise.all(under);
  } else if (step.fails) {
    await assert.rejects(it.fails(step.fails));
  } else if (step.erase) {
    await it.erase();
  } else if (step.close) {
    await it.close();
  } else if (step.die) {
    await it.die();
    delete stage.instances[by];
  } else if (step.adopted) {
    const wanted = JSON.stringify(sorted(step.adopted));
    let seen, told;
    await until(async () => {
      told = await it.adopted();
      seen = JSON.stringify(sorted(Object.fromEntries(told.slice(it.heard ?? 0))));
      return seen === wanted;
    }, `${by} to adopt ${wanted}`).catch((error) => {
      throw new Error(`${error.message}; it has ${seen}`);
    });
    it.heard = told.length;
  } else {
    throw new Error(`no verb in ${JSON.stringify(step)}`);
  }
};

/** Plays one case on a fresh stage. */
export const playCase = async (stage, { steps }) => {
  stage.instances = {};
  for (const [at, step] of steps.entries()) {
    await play(stage, step.by ?? "it", step).catch((error) => {
      error.message = `step ${at + 1}, ${JSON.stringify(step)}: ${error.message}`;
      throw error;
    });
  }
};
