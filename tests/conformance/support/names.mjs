// Tokens that the servers under test take, and channels that no other test uses.

import { createHmac } from 'node:crypto';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A signed HS256 token; `exp` is given as seconds from here. */
export const token = ({ ttl, ...claims }, secret = 'secret') => {
  if (ttl !== undefined) claims.exp = Math.floor(Date.now() / 1000) + ttl;
  const body = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
};

let names = 0;
/** A channel nobody else uses, in the namespace given. */
export const fresh = (namespace) => `${namespace}:${process.pid}-${++names}`;
