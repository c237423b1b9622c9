// Written by the test `generated` of sdk-wasm from Rust's table; HOMING_UPDATE=1 writes it anew.

/** The options that are numbers, in the order in which the module takes them. */
export const numbers = [
  "connectTimeout",
  "requestTimeout",
  "providerTimeout",
  "silenceSlack",
  "probeTimeout",
  "backoffFloor",
  "backoffBase",
  "backoffCap",
  "hiddenWait",
  "stableAfter",
  "linger",
  "degradedAfter",
  "lostAfter",
  "maxRequests",
  "maxRequestBytes",
  "maxMessageBytes",
  "maxHeld",
  "repairPage",
  "storageTimeout",
  "maxOutbox",
  "maxOutboxBytes",
  "outboxAge",
] as const;
