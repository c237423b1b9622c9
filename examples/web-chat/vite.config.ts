// Builds the page into dist/, which the server serves as it is, and with `--mode backend` into dist-backend/, where
// people log in. What serves those two is Vite: it leads to the server and to the backend, so that a page knows one
// origin only, as behind a proxy in production.

import { defineConfig, type Plugin } from "vite";

/** The strictest policy that the client runs under; Vite's development page needs a laxer one. */
const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const contentSecurityPolicy: Plugin = {
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [
    { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: policy }, injectTo: "head-prepend" },
  ],
};

const { SERVER = "http://127.0.0.1:8000", BACKEND = "http://127.0.0.1:3000" } = process.env;

export default defineConfig(({ mode }) => ({
  base: "./",
  plugins: [contentSecurityPolicy],
  build: {
    outDir: mode === "backend" ? "dist-backend" : "dist",
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // Of the preview too.
  server: {
    proxy: {
      "/connection": { target: SERVER, ws: true },
      "/emulation": SERVER,
      ...Object.fromEntries(["/login", "/token", "/announce"].map((path) => [path, BACKEND])),
    },
  },
}));
