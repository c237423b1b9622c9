// Networks where WebSocket does not pass: the chat goes around them in a real browser, loses nothing, and comes back to
// the WebSocket when that opens again.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { HttpProxy } from '../conformance/support/http-proxy.mjs';
import { eventually } from './support/programs.mjs';
import { agree, enter, numbered, stage } from './support/stage.mjs';

const { server, proxy } = await stage((upstream) => HttpProxy.start(upstream));
afterEach(() => Object.assign(proxy, { upgrades: 'pass', buffer: 0, spares: undefined, requests: [] }));

const asked = (way) => proxy.requests.filter((line) => line.includes(way)).length;

test('behind a proxy that refuses upgrades people talk, and the page returns to the WebSocket when it opens', async () => {
  proxy.upgrades = 'refuse';
  const ada = await enter(proxy.address, 'office', 'Ada');
  assert.ok(asked('/connection/http_stream') > 0, proxy.requests.join());
  const ben = await enter(server.address, 'office', 'Ben');
  const [fromAda, fromBen] = [numbered('Ada', 30), numbered('Ben', 10)];
  for (const text of fromAda.slice(0, 10)) await ada.say(text);
  for (const text of fromBen) await ben.say(text);

  // The next page begins with the way that worked.
  const refused = asked('UPGRADE');
  await ada.page.reload();
  await ada.connected();
  assert.equal(asked('UPGRADE'), refused);

  proxy.upgrades = 'pass';
  const back = ada.page.waitForEvent('websocket', (socket) => socket.url().includes('/connection/websocket'));
  for (const text of fromAda.slice(10, 20)) await ada.say(text);
  // The page is told that its network is another one.
  await ada.page.evaluate(() => window.dispatchEvent(new Event('online')));
  await back;
  for (const text of fromAda.slice(20)) await ada.say(text);
  await agree([ada, ben], [fromAda, fromBen]);
  const posts = asked('POST');
  await ada.say('over the socket');
  await ben.sees('over the socket');
  assert.equal(asked('POST'), posts, 'nothing goes over HTTP any more');
});

test('behind a proxy that also ends every stream again and again nothing is lost and nothing comes twice', async () => {
  proxy.upgrades = 'refuse';
  const ada = await enter(proxy.address, 'gate', 'Ada');
  const ben = await enter(server.address, 'gate', 'Ben');
  const [fromAda, fromBen] = [numbered('Ada', 30), numbered('Ben', 30)];
  const talk = async (visitor, texts) => {
    for (const text of texts) await visitor.say(text);
  };
  const storm = async () => {
    for (let blow = 0; blow < 5; blow += 1) {
      const streams = asked('/connection/http_stream') + asked('/connection/sse');
      proxy.cut();
      await eventually(() => asked('/connection/http_stream') + asked('/connection/sse') > streams, 'another stream', 30_000);
      await ada.state.getByText('Connected').waitFor();
    }
  };
  await Promise.all([talk(ada, fromAda), talk(ben, fromBen), storm()]);
  await agree([ada, ben], [fromAda, fromBen]);
});

test('behind a proxy that holds responses back people talk over event streams, which it knows, and nothing is lost', async () => {
  Object.assign(proxy, { upgrades: 'refuse', buffer: 1_000_000, spares: 'text/event-stream' });
  const ada = await enter(proxy.address, 'lobby', 'Ada', { patience: 40_000 });
  assert.ok(asked('/connection/http_stream') > 0 && asked('/connection/sse') > 0, proxy.requests.join());
  const ben = await enter(server.address, 'lobby', 'Ben');
  const [fromAda, fromBen] = [numbered('Ada', 20), numbered('Ben', 20)];
  const talk = async (visitor, texts) => {
    for (const text of texts) await visitor.say(text);
  };
  await Promise.all([talk(ada, fromAda), talk(ben, fromBen)]);
  await agree([ada, ben], [fromAda, fromBen]);

  // The next page does not wait for what is held back.
  const held = asked('/connection/http_stream');
  await ada.page.reload();
  await ada.connected();
  assert.equal(asked('/connection/http_stream'), held);
  const streams = asked('/connection/sse');
  proxy.cut();
  await eventually(() => asked('/connection/sse') > streams, 'another stream', 30_000);
  await ben.say('while she was away');
  await ada.sees('while she was away');
  await agree([ada, ben], [fromAda, [...fromBen, 'while she was away']]);
});
