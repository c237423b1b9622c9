// Waiting for conditions, each with a deadline that names what did not happen.

/** The promise's value, or a rejection that says what was waited for. */
export const within = async (ms, promise, what) => {
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

/** The next event of this name that the predicate takes. */
export const next = (emitter, event, takes = () => true, ms = 10_000) => {
  let listener;
  const promise = new Promise((resolve) => {
    listener = (context) => takes(context) && resolve(context);
    emitter.on(event, listener);
  });
  return within(ms, promise, `the event ${event}`).finally(() => emitter.off(event, listener));
};

/** Resolves once the condition holds, looked at after every event that could change it. */
export const until = (emitter, event, holds, what, ms = 15_000) =>
  holds() ? Promise.resolve() : next(emitter, event, holds, ms).catch(() => {
    throw new Error(`waited ${ms} ms in vain for ${what}`);
  });
