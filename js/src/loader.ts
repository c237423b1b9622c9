// Gets the WebAssembly module into this realm, once, and an instance of it that all clients share, until one of them
// dies. Owns the memo and the errors of loading; does nothing until it is asked, and may be asked again after a
// failure.

import make from "#glue";
import { RealtimeError } from "./errors.js";
import type { LoadSource } from "./types.js";

/** The module once it runs. */
export type Glue = ReturnType<typeof make>;

let compiled: WebAssembly.Module | undefined;
let running: Promise<Glue> | undefined;
/** Set once the module runs: calls need not wait any more. */
let ready: Glue | undefined;

/** The module, if it runs already. */
export const loaded = (): Glue | undefined => ready;

/** A client has died in this instance: those made from here on get another one. */
export const retire = (glue: Glue): void => {
  if (ready === glue) running = ready = undefined;
};

/** Loads the module once; a failure is forgotten, so that the next call tries again. */
export const load = (source: () => Promise<WebAssembly.Module>): Promise<Glue> => {
  running ??= start(source).catch((error: unknown) => {
    running = undefined;
    throw error;
  });
  return running;
};

const start = async (source: () => Promise<WebAssembly.Module>): Promise<Glue> => {
  if (typeof WebAssembly !== "object") {
    throw RealtimeError.of("unsupported", "there is no WebAssembly here");
  }
  compiled ??= await source();
  const glue = make();
  try {
    await glue.init({ module_or_path: compiled });
  } catch (cause) {
    throw compileError(cause, "the module");
  }
  ready = glue;
  return glue;
};

/** Compiles what a source names. */
export const compile = async (source: LoadSource): Promise<WebAssembly.Module> => {
  if ("module" in source) return source.module;
  if ("bytes" in source) return await compileBytes(source.bytes, "the bytes");
  if ("response" in source) {
    const response = await source.response;
    return await compileResponse(response, response.url || "the response");
  }
  const url = String(source.url);
  let response: Response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw RealtimeError.of("load_failed", `${url} could not be fetched${fileHint(url)}`, cause);
  }
  return await compileResponse(response, url);
};

/** Compiles the module that the package carries as text. */
export const compileInlined = async (text: string): Promise<WebAssembly.Module> => {
  if (typeof DecompressionStream !== "function") {
    throw RealtimeError.of("unsupported", "there is no DecompressionStream here; use homing/slim");
  }
  const packed = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return await compileBytes(await new Response(stream).arrayBuffer(), "the package's own module");
};

const compileResponse = async (response: Response, from: string): Promise<WebAssembly.Module> => {
  const type = response.headers.get("content-type") ?? "no content type";
  const answer = `${from} answered ${response.status} (${type})`;
  if (!response.ok) throw RealtimeError.of("load_failed", `${answer}; serve homing.wasm there`);
  const bytes = await response.arrayBuffer().catch((cause: unknown) => {
    throw RealtimeError.of("load_failed", `${answer}, then the transfer broke`, cause);
  });
  return await compileBytes(bytes, answer);
};

const compileBytes = async (bytes: BufferSource, from: string): Promise<WebAssembly.Module> => {
  const view = ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
  if (view[0] !== 0 || view[1] !== 0x61 || view[2] !== 0x73 || view[3] !== 0x6d) {
    throw RealtimeError.of("load_failed", `${from} is not a WebAssembly module; serve homing.wasm there`);
  }
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw compileError(cause, from);
  }
};

const compileError = (cause: unknown, from: string): RealtimeError => {
  const text = cause instanceof Error ? cause.message : String(cause);
  const blocked = /content security policy|unsafe-eval|blocked by csp/i.test(text);
  return blocked
    ? RealtimeError.of("csp_blocked", text, cause)
    : RealtimeError.of("load_failed", `${from}: ${text}`, cause);
};

const fileHint = (url: string): string =>
  url.startsWith("file:") ? "; read the file and pass { bytes }" : "";
