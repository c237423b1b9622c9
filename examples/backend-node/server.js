// A backend beside homing-server, without a library: people log in and get tokens, the server asks here who
// may enter and say what, and the backend publishes by itself. Settings of the server: examples/backend.toml.
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const { PORT = "3000", HOMING_API = "http://127.0.0.1:8000/api", API_KEY = "change me: api" } = process.env;
const { TOKEN_SECRET = "change me: tokens", TOKEN_SECONDS = "600", HOOK_SECRET = "change me: hooks" } = process.env;

// Stand-ins for a database, where passwords would be hashed.
const people = new Map([
  ["ada", { password: "lovelace", isStaff: true }],
  ["bob", { password: "builder", isStaff: false }],
]);
const sessions = new Map(); // cookie → user
const seen = new Map(); // id of a hook's request → when it may be forgotten

const hmac = (secret, ...parts) => {
  const digest = createHmac("sha256", secret);
  for (const part of parts) digest.update(part);
  return digest;
};

/** A connection token; the client asks for the next one before it expires. */
function token(user) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { sub: user, exp: Math.floor(Date.now() / 1000) + Number(TOKEN_SECONDS), info: { name: user } };
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${hmac(TOKEN_SECRET, text).digest("base64url")}`;
}

/** Whether homing-server has sent this, just now, and for the first time. */
function isFromServer(headers, body) {
  const { "x-homing-timestamp": at, "x-homing-request": id, "x-homing-signature": signature = "" } = headers;
  if (!(Math.abs(Date.now() / 1000 - at) <= 300) || seen.has(id)) return false;
  const expected = Buffer.from(`v1=${hmac(HOOK_SECRET, `${at}.${id}.`, body).digest("hex")}`);
  const given = Buffer.from(signature);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return false;
  for (const [old, until] of seen) if (until < Date.now()) seen.delete(old);
  seen.set(id, Date.now() + 600_000);
  return true;
}

const no = (code, message) => ({ error: { code, message } });

const hooks = {
  // chat:staff is for staff, every other room for everybody.
  "/homing/subscribe": ({ user, channel }) =>
    channel === "chat:staff" && !people.get(user)?.isStaff ? no(403, "for staff") : { result: {} },
  "/homing/publish": ({ user, data }) => {
    if (!people.has(user) || typeof data?.text !== "string") return no(400, "log in, and send a text");
    return data.text.includes("spam") ? no(422, "no spam") : { result: { data: { ...data, checked: true } } };
  },
};

const pages = {
  "POST /login"(_user, { name, password }, response) {
    if (people.get(name)?.password !== password || !password) return [401, {}];
    const cookie = randomBytes(16).toString("hex");
    sessions.set(cookie, name);
    response.setHeader("set-cookie", `session=${cookie}; HttpOnly; SameSite=Lax; Path=/`);
    return [200, {}];
  },
  "GET /token": (user) => (user ? [200, { token: token(user) }] : [401, {}]),
  async "POST /announce"(user, { text }) {
    if (!people.get(user)?.isStaff) return [403, {}];
    const body = JSON.stringify({ channel: "chat:lobby", data: { name: "The house", text } });
    const headers = { "content-type": "application/json", "x-api-key": API_KEY };
    const answer = await fetch(`${HOMING_API}/publish`, { method: "POST", headers, body });
    return [answer.status, await answer.json()];
  },
};

async function answer(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const hook = hooks[request.url];
  if (hook) return isFromServer(request.headers, body) ? [200, hook(JSON.parse(body))] : [401, {}];
  const page = pages[`${request.method} ${request.url}`];
  const user = sessions.get(/(?:^|; )session=(\w+)/.exec(request.headers.cookie)?.[1]);
  return page ? page(user, body.length > 0 ? JSON.parse(body) : {}, response) : [404, {}];
}

const server = createServer(async (request, response) => {
  const [status, result] = await answer(request, response).catch(() => [400, {}]);
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(result));
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
