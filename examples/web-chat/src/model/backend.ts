// The backend that people log in at, where the page was built for one: it hands out tokens, and speaks in rooms
// itself. The session is a cookie that scripts cannot read. Knows nothing of the client's connection.

import { ForbiddenError } from "homing";

/** Whether this page was built to stand beside a backend (`vite build --mode backend`). */
export const HAS_BACKEND: boolean = import.meta.env.MODE === "backend";

const ask = (path: string, form?: object): Promise<Response> =>
  fetch(
    new URL(path, document.baseURI.split("#")[0]),
    form && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(form) },
  );

/** Whether this is their password. */
export const logIn = async (name: string, password: string): Promise<boolean> => {
  const { ok, status } = await ask("login", { name, password });
  if (!ok && status !== 401) throw new Error(`the backend answered with status ${status}`);
  return ok;
};

/** The client's option `getToken`; `strange` is called when the backend does not know this browser any more. */
export const tokens = (strange: () => void) => async (): Promise<string> => {
  const response = await ask("token");
  if (response.status === 401) {
    strange();
    throw new ForbiddenError("the backend wants a login");
  }
  if (!response.ok) throw new Error(`the backend answered with status ${response.status}`);
  const { token } = (await response.json()) as { token: string };
  return token;
};

/** Has the backend publish. */
export const announce = async (text: string): Promise<void> => {
  const { status, ok } = await ask("announce", { text });
  if (!ok) throw new Error(status === 403 ? "Only staff may do that." : `The backend answered with status ${status}.`);
};
