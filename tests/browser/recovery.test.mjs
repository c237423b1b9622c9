// The network breaks in every way that the proxy knows, and so does the server: nothing is lost, nothing comes twice,
// and what cannot come any more is said.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { RealtimeClient } from 'homing';
import WebSocket from 'ws';
import { FaultProxy } from '../conformance/support/processes.mjs';
import { inOrder } from './support/pages.mjs';
import { ChatServer, eventually, nodeBot, rustBot } from './support/programs.mjs';
import { agree, enter, numbered, settled, stage } from './support/stage.mjs';

const { server, proxy } = await stage((upstream) => FaultProxy.start(upstream));
afterEach(() => proxy.tell('clear'));

test('what is said on both sides of a dead network arrives once it is back', async () => {
  const ada = await enter(proxy.address, 'tunnel', 'Ada');
  const ben = await enter(server.address, 'tunnel', 'Ben');
  await ada.say('Ada 1.');
  await ben.sees('Ada 1.');
  await proxy.tell('down');
  await ada.state.getByText(/^(Connecting|Reconnecting)$/).waitFor();
  for (const text of ['Ada 2.', 'Ada 3.']) await ada.say(text);
  for (const text of numbered('Ben', 20)) await ben.say(text);
  await settled(ben);
  assert.equal((await ada.messages()).filter(({ state }) => state === 'waiting').length, 2);
  await proxy.tell('clear');
  await ada.state.getByText('Connected').waitFor();
  await ada.page.getByText('20 messages came home').waitFor();
  await agree([ada, ben], [numbered('Ada', 3), numbered('Ben', 20)]);
});

test('connections that break again and again in the middle of talk lose and double nothing', async () => {
  const ada = await enter(proxy.address, 'storm', 'Ada');
  const ben = await enter(server.address, 'storm', 'Ben');
  const [fromAda, fromBen] = [numbered('Ada', 30), numbered('Ben', 60)];
  const talk = async (visitor, texts) => {
    for (const text of texts) await visitor.say(text);
  };
  // From the third connection in a row that does not last on, the next address is tried: streamed responses.
  let answered = 0;
  ada.page.on('websocket', (socket) => socket.once('framereceived', () => (answered += 1)));
  ada.page.on('response', (response) => (answered += Number(/\/connection\/(http_stream|sse)/.test(response.url()))));
  const storm = async () => {
    for (const blow of ['cut', 'reset', 'cut', 'reset', 'cut']) {
      // A short cut does not show on the page, and a blow would miss a socket that is still on its way.
      const before = answered;
      await proxy.tell(blow);
      await eventually(() => answered > before, 'the page to be connected again', 30_000);
    }
  };
  await Promise.all([talk(ada, fromAda), talk(ben, fromBen), storm()]);
  await agree([ada, ben], [fromAda, fromBen]);
});

test('a network that swallows everything is noticed, and left behind', async () => {
  const ada = await enter(proxy.address, 'fog', 'Ada');
  const ben = await enter(server.address, 'fog', 'Ben');
  await ada.say('Ada 1.');
  await ben.sees('Ada 1.');
  await proxy.tell('blackhole');
  await ada.say('Ada 2.');
  for (const text of numbered('Ben', 3)) await ben.say(text);
  await settled(ben);
  await ada.state.getByText(/^(Connecting|Reconnecting|Still no connection)$/).waitFor({ timeout: 30_000 });
  await proxy.tell('clear');
  await agree([ada, ben], [numbered('Ada', 2), numbered('Ben', 3)]);
});

test('the button cuts the line for real, and mending it brings everything home', async () => {
  const ada = await enter(server.address, 'roof', 'Ada');
  const ben = await enter(server.address, 'roof', 'Ben');
  await ada.say('Ada 1.');
  await ben.sees('Ada 1.');
  await ada.page.getByRole('button', { name: 'Cut the line' }).click();
  await ada.state.getByText('The line is cut').waitFor();
  await eventually(async () => (await ben.people()).join() === 'Ben', 'the server to see Ada gone');
  for (const text of ['Ada 2.', 'Ada 3.']) await ada.say(text);
  await ada.state.getByText('2 messages wait').waitFor();
  for (const text of numbered('Ben', 4)) await ben.say(text);
  await settled(ben);
  assert.deepEqual(await ben.texts(), ['Ada 1.', ...numbered('Ben', 4)]);
  assert.deepEqual((await ada.messages()).map(({ state }) => state), ['sent', 'waiting', 'waiting']);

  await ada.page.getByRole('button', { name: 'Mend the line' }).click();
  await ada.state.getByText('Connected').waitFor();
  await ada.page.getByText('4 messages came home').waitFor();
  await agree([ada, ben], [numbered('Ada', 3), numbered('Ben', 4)]);
  assert.deepEqual((await ada.messages()).map(({ recovered }) => recovered), [false, true, true, true, true, false, false]);
  await eventually(async () => (await ada.people()).join() === 'Ada,Ben', 'everyone to be here again');
});

test('what was typed on a cut line survives a reload with its clock, and then gets its tick, once', async () => {
  const ada = await enter(server.address, 'loft', 'Ada');
  const ben = await enter(server.address, 'loft', 'Ben');
  await ada.say('Ada 1.');
  await ben.sees('Ada 1.');
  await ada.page.getByRole('button', { name: 'Cut the line' }).click();
  await ada.state.getByText('The line is cut').waitFor();
  for (const text of ['Ada 2.', 'Ada 3.']) await ada.say(text);
  await ada.state.getByText('2 messages wait').waitFor();
  await ada.kept(2);
  await ada.page.reload();
  await ada.state.getByText('2 messages wait').waitFor();
  assert.deepEqual((await ada.messages()).map(({ text, state }) => [text, state]), [['Ada 2.', 'waiting'], ['Ada 3.', 'waiting']]);
  for (const text of numbered('Ben', 3)) await ben.say(text);
  await settled(ben);

  await ada.page.getByRole('button', { name: 'Mend the line' }).click();
  await ada.page.getByText('3 messages came home').waitFor();
  await ada.page.getByText('You have caught up.').waitFor();
  await agree([ada, ben], [numbered('Ada', 3), numbered('Ben', 3)]);
  assert.deepEqual((await ada.messages()).map(({ recovered }) => recovered), [false, true, true, true, false, false]);
  await ada.kept(0);
});

test('a message that the server refuses is parked with its reason, and is edited, tried again or given up', async () => {
  const strict = await ChatServer.start({ HOMING_CLIENT_MESSAGE_SIZE_LIMIT: '400' });
  try {
    const ada = await enter(strict.address, 'hall', 'Ada');
    const failed = ada.page.locator('.message.failed');
    const reason = failed.getByText(/larger than the server takes/);
    // While there is a connection the limit is known: nothing is queued, and the words stay where they are.
    await ada.say('o'.repeat(500));
    await ada.dismisses(/This cannot be sent/);
    const text = ada.page.getByRole('textbox', { name: /^Message to/ });
    assert.equal((await text.inputValue()).length, 500);
    await ada.page.getByRole('button', { name: 'Cut the line' }).click();
    await ada.state.getByText('The line is cut').waitFor();
    for (const words of ['o'.repeat(500), 'u'.repeat(500), 'a short one']) await ada.say(words);
    await ada.page.getByRole('button', { name: 'Mend the line' }).click();
    await reason.first().waitFor();
    await ada.page.locator('.message.sent').getByText('a short one').waitFor();
    assert.equal(await failed.count(), 2);

    // Parked ones outlive a reload, too.
    await ada.page.reload();
    await ada.connected();
    await reason.nth(1).waitFor();
    await failed.first().getByRole('button', { name: 'Try again' }).click();
    await ada.dismisses(/This cannot be sent/);
    assert.equal(await failed.count(), 2);
    await failed.first().getByRole('button', { name: 'Edit' }).click();
    assert.equal((await text.inputValue()).length, 500);
    await ada.say('a shorter one');
    await ada.page.locator('.message.sent').getByText('a shorter one').waitFor();
    await failed.getByRole('button', { name: 'Discard' }).click();
    await failed.waitFor({ state: 'detached' });
    assert.deepEqual(await ada.texts(), ['a short one', 'a shorter one']);
    await ada.kept(0);
  } finally {
    await strict.kill();
  }
});

test('what the server keeps no longer is one gap, counted, and the rest comes', async () => {
  const ada = await enter(server.address, 'barn', 'Ada');
  await ada.say('Ada 1.');
  await ada.page.locator('.message.sent').waitFor();
  await ada.page.getByRole('button', { name: 'Cut the line' }).click();
  const writer = new RealtimeClient(server.url, { WebSocket, data: { user: 'zoe', info: { name: 'Zoe' } } });
  writer.connect();
  // Of 321 messages the development configuration keeps 300: those from the second to the 21st are gone.
  const barn = writer.channel('chat:barn', { joinLeave: true });
  barn.on('joined', () => {});
  for (const text of numbered('Zoe', 320)) await barn.publish({ id: text, text });
  await writer.close();
  await ada.page.getByRole('button', { name: 'Mend the line' }).click();
  await ada.page.getByText('20 messages are missing here').waitFor();
  await ada.page.getByText('300 messages came home').waitFor();
  await ada.sees('Zoe 320.');
  assert.deepEqual(await ada.texts(), ['Ada 1.', ...numbered('Zoe', 320).slice(20)]);
  inOrder(await ada.messages());
});

test('after a reload a room goes on where the page has read, and a gap stands where messages are gone', async () => {
  const ada = await enter(server.address, 'shed', 'Ada');
  await ada.say('Ada 1.');
  await ada.page.locator('.message.sent').waitFor();
  await ada.read('shed', 1);
  const { page } = ada;
  const address = page.url();
  await page.goto('about:blank');
  const writer = new RealtimeClient(server.url, { WebSocket, data: { user: 'zoe', info: { name: 'Zoe' } } });
  writer.connect();
  const shed = writer.channel('chat:shed', { joinLeave: true });
  shed.on('joined', () => {});
  for (const text of numbered('Zoe', 7)) await shed.publish({ text });
  await page.goto(address);
  await ada.connected();
  await page.getByText('7 messages came home').waitFor();
  await page.getByText('since you were here last. You have caught up.').waitFor();
  assert.deepEqual((await ada.messages()).map(({ recovered }) => recovered), [false, true, true, true, true, true, true, true]);
  await ada.read('shed', 8);

  // Of 328 messages the 300 newest are left: 20 have never been on this page.
  await page.goto('about:blank');
  for (const text of numbered('Yan', 320)) await shed.publish({ text });
  await writer.close();
  await page.goto(address);
  await ada.connected();
  await page.getByText('20 messages are missing here').waitFor();
  await ada.sees('Yan 320.');
  inOrder(await ada.messages());
});

test('a server that starts afresh says what it no longer has, and talk goes on, bots included', async () => {
  const bots = await Promise.all([rustBot(server.url, 'yard'), nodeBot(server.url, 'yard')]);
  const ada = await enter(server.address, 'yard', 'Ada');
  const ben = await enter(server.address, 'yard', 'Ben');
  await ada.say('Ada 1.');
  await ben.sees('Ada 1.');
  await server.kill();
  await ada.state.getByText(/^(Connecting|Reconnecting)$/).waitFor();
  await ada.say('Ada 2.');
  await server.start();
  for (const visitor of [ada, ben]) await visitor.state.getByText('Connected').waitFor({ timeout: 30_000 });
  await ada.page.getByText('The server started afresh').waitFor();
  await ben.sees('Ada 2.');
  await ben.say('Ben 1., Carrier and Rusty?');
  const [rusty, carrier] = ['Rusty', 'Carrier'].map((name) =>
    ada.log.locator('.message.other', { has: ada.page.getByText(name, { exact: true }) }).first());
  await rusty.waitFor({ timeout: 30_000 });
  await carrier.waitFor({ timeout: 30_000 });
  await settled(ada);
  assert.deepEqual((await ada.texts()).slice(0, 3), ['Ada 1.', 'Ada 2.', 'Ben 1., Carrier and Rusty?']);
  assert.equal((await ada.messages()).length, 5);
  await Promise.all(bots.map((bot) => bot.stop()));
});
