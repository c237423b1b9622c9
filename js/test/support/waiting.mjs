// Waiting for conditions, each with a deadline that names what did not happen.

/** The promise's value, or a rejection that says what was waited for. */
export const within = async (promise, what, ms = 10_000) => {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms in vain for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
};

/** Resolves once `holds` gives something true, and gives that. */
export const until = async (holds, what, ms = 10_000) => {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await holds();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

/** The next items of a loop that goes on. */
export const take = async (loop, count) => {
  const got = [];
  while (got.length < count) {
    const { value, done } = await within(loop.next(), `item ${got.length + 1} of ${count}`);
    if (done) throw new Error(`the loop ended after ${got.length} of ${count}`);
    got.push(value);
  }
  return got;
};

/** The next event of this type that `takes` likes. */
export const next = (source, type, takes = () => true) =>
  within(
    new Promise((resolve) => {
      const undo = source.on(type, (event) => {
        if (!takes(event)) return;
        undo();
        resolve(event);
      });
    }),
    `the event ${type}`,
  );

export const connected = (client) =>
  client.state.status === "connected" ? client.state : next(client, "state", (state) => state.status === "connected");

/** The error that a promise is rejected with. */
export const rejection = (promise) =>
  within(
    promise.then(
      (value) => {
        throw new Error(`resolved with ${JSON.stringify(value)}`);
      },
      (error) => error,
    ),
    "a rejection",
  );
