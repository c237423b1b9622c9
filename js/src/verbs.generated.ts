// Written by the test `generated` of sdk-wasm from Rust's table; HOMING_UPDATE=1 writes it anew.

/** Wants to be connected. */
export const CONNECT = 0;
/** Wants to be disconnected. */
export const DISCONNECT = 1;
/** Ends the client; calls under way may settle for `number` milliseconds. `offset` not 0: what is stored is erased. */
export const CLOSE = 2;
/** One more interest in the channel `one`. `two`: token, data and epoch, one a line. `number`: 1 provides tokens, 2 positioned, 4 recoverable, 8 joins and leaves, 16 recovery of the newest only, 32 durable. Gives the handle; the module then says how the channel stands. */
export const SUBSCRIBE = 3;
/** Gives the handle `number` up. */
export const UNSUBSCRIBE = 4;
/** Publishes the JSON `two`. `one`: the channel and the message's id, one a line. `number`: 1 ephemeral. */
export const PUBLISH = 5;
/** Asks for a page of the channel `one`, of `number` messages behind (epoch `two`, `offset`); without an epoch from its beginning. */
export const HISTORY = 6;
/** The same from newer to older. */
export const HISTORY_REVERSE = 7;
/** Asks who is in the channel `one`. */
export const PRESENCE = 8;
/** Asks how many are in the channel `one`. */
export const PRESENCE_STATS = 9;
/** Calls the procedure `one` with the JSON `two`. */
export const RPC = 10;
/** Sends the JSON `two` without an answer. */
export const SEND = 11;
/** Stops waiting for the call `number`. */
export const CANCEL = 12;
/** The token `one` for the question `number`. */
export const TOKEN_PROVIDED = 13;
/** No token for the question `number`, because of `one`. */
export const TOKEN_FAILED = 14;
/** No token for the question `number` ever, because of `one`. */
export const TOKEN_FORBIDDEN = 15;
/** The endpoints `one`, one a line, for the question `number`. */
export const ENDPOINTS_RESOLVED = 16;
/** No endpoints for the question `number`, because of `one`. */
export const ENDPOINTS_FAILED = 17;
/** The frame `one`, or what is left of it, from the socket `number`. */
export const FRAME = 18;
/** Why the socket `number` is about to close, in the words `one` of its implementation. */
export const SOCKET_FAILED = 19;
/** How much is in the outbox; with `number` 1 what, too. The module says it. */
export const OUTBOX = 20;
/** Tells every change of the outbox (`number` 1), or none any more (0). */
export const OBSERVE = 21;
/** Puts the JSON `two` into the message `number` of the outbox. */
export const EDIT = 22;
/** Takes the message `number` of the outbox back, or gives it up. */
export const DISCARD = 23;
/** Publishes the parked message `number` again, with the JSON `two` if there is one; the module says its new id. */
export const RETRY = 24;
/** The app has processed the channel `number` up to (epoch `one`, `offset`). */
export const PROCESSED = 25;
/** Begins with the endpoint at place `number`; a connection over another one moves there at once. */
export const PREFER = 26;
/** The storage was opened and holds `one`, a JSON array of keys and values in turn; `number` not 0: it could not be, because of `two`, and this is the error's number. */
export const STORAGE_OPENED = 30;
/** What a dead instance left in the storage, like the records of the verb before. */
export const STORAGE_ADOPTED = 31;
/** The write `number` is safe; `one` not empty: why it is not. */
export const STORED = 32;
