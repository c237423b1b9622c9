// The glue of the built module, with one addition: the procedure "test:panic" makes the module panic, by a verb
// that it does not know. Stands in for "#glue" in the bundle that the tests of panics use.

import make from "../../build/wasm/homing.js";

export default () => {
  const { init, Host: Real, panicText } = make();
  return {
    async init(options) {
      const running = await init(options);
      // By kind: the build gives the module's exports short names.
      globalThis.homingMemory = Object.values(running).find((it) => it instanceof WebAssembly.Memory);
      return running;
    },
    panicText,
    Host: class extends Real {
      tell(verb, one, two, number, offset) {
        return super.tell(one === "test:panic" ? 99 : verb, one, two, number, offset);
      }
    },
  };
};
