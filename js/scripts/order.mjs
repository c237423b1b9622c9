// Puts functions that look alike next to each other: brotli then finds more of each in the one before. Two percent of
// the module. Changes nothing but the functions' numbers; called by wasm.mjs behind wasm-opt.

import binaryen from "binaryen";

// Those that wasm.mjs allows.
const features = [
  "MutableGlobals",
  "NontrappingFPToInt",
  "BulkMemory",
  "BulkMemoryOpt",
  "SignExt",
  "ReferenceTypes",
  "CallIndirectOverlong",
  "Multivalue",
];
/** Length in bytes of what is compared. Three to five give about the same, longer pieces less. */
const PIECE = 4;

/** The module with its functions in another order. */
export const ordered = (bytes) => {
  const chain = alike(bodies(bytes).map(pieces));
  binaryen.setOptimizeLevel(2);
  binaryen.setShrinkLevel(2);
  const module = binaryen.readBinary(bytes);
  const { Features } = binaryen;
  module.setFeatures(features.reduce((all, name) => all | Features[name], Features.MVP));
  const functions = Array.from({ length: module.getNumFunctions() }, (_, at) =>
    binaryen.getFunctionInfo(module.getFunctionByIndex(at)),
  ).filter(({ base }) => base === ""); // The others are imported.
  for (const at of chain) {
    const { name, params, results, vars, body } = functions[at];
    module.removeFunction(name);
    module.addFunction(name, params, results, vars, body);
  }
  const out = Buffer.from(module.emitBinary());
  module.dispose();
  return out;
};

/** The code of each function, out of section 10. */
const bodies = (bytes) => {
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  for (;;) {
    const section = bytes[at++];
    const length = number();
    if (section === 10) break;
    at += length;
  }
  return Array.from({ length: number() }, () => {
    const length = number();
    at += length;
    return bytes.subarray(at - length, at);
  });
};

const pieces = (code) => {
  const found = new Set();
  for (let at = 0; at + PIECE <= code.length; at++) found.add(code.readUInt32BE(at));
  return found;
};

/** A chain in which each is followed by the one most like it of those that are left. */
const alike = (all) => {
  const left = new Set(all.keys());
  const chain = [];
  for (let next = 0; next !== undefined; ) {
    const last = all[next];
    left.delete(next);
    chain.push(next);
    next = undefined;
    let best = -1;
    for (const at of left) {
      const other = all[at];
      const [few, many] = last.size < other.size ? [last, other] : [other, last];
      let shared = 0;
      for (const piece of few) if (many.has(piece)) shared++;
      const likeness = shared / Math.sqrt((few.size + 1) * (many.size + 1));
      if (likeness > best) [best, next] = [likeness, at];
    }
  }
  return chain;
};
