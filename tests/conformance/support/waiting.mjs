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

/** Asks until it holds, and gives what it held; the last failure is in the error. */
export const eventually = async (holds, what, ms = 15_000) => {
  const deadline = Date.now() + ms;
  let last;
  while (Date.now() < deadline) {
    try {
      const value = await holds();
      if (value) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited ${ms} ms in vain for ${what}${last ? `: ${last.message}` : ''}`);
};

/** The error that a promise is rejected with. */
export const rejection = (promise, ms = 15_000) =>
  within(ms, promise.then((value) => Promise.reject(new Error(`resolved with ${JSON.stringify(value)}`)), (error) => error), 'a rejection');

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
