// People and bots in one room, and what each of them sees: talk, presence, history, rooms, a reload.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inOrder } from './support/pages.mjs';
import { eventually, nodeBot, rustBot } from './support/programs.mjs';
import { enter, stage } from './support/stage.mjs';

const { server } = await stage();
const come = (room, name, options) => enter(server.address, room, name, options);

test('two pages, the Rust bot and the Node bot talk in one room', async () => {
  const bots = await Promise.all([rustBot(server.url, 'town'), nodeBot(server.url, 'town')]);
  const ada = await come('town', 'Ada');
  const ben = await come('town', 'Ben');
  await ada.say('Good morning, Rusty');
  await ben.sees('Good morning, Rusty');
  await ben.say('and you too, Carrier');
  const sees = (visitor, author) => visitor.log.locator('.message.other', { has: visitor.page.getByText(author, { exact: true }) }).first().waitFor();
  for (const visitor of [ada, ben]) for (const author of ['Rusty', 'Carrier']) await sees(visitor, author);
  await eventually(async () => (await ada.messages()).length === 4 && (await ben.messages()).length === 4, 'four messages on both pages');
  assert.deepEqual(await ada.texts(), await ben.texts());
  inOrder(await ada.messages());
  assert.deepEqual((await ada.messages()).filter(({ own }) => own).map(({ state }) => state), ['sent']);
  for (const visitor of [ada, ben]) {
    await eventually(async () => {
      assert.deepEqual((await visitor.people()).sort(), ['Ada', 'Ben', 'Carrier', 'Rusty']);
      return true;
    }, `everyone on ${visitor.name}'s page`);
  }
  await Promise.all(bots.map((bot) => bot.stop()));
  await eventually(async () => (await ada.people()).join() === 'Ada,Ben', 'the bots to be gone');
});

test('who is here follows those who come and go', async () => {
  const ada = await come('porch', 'Ada');
  await eventually(async () => (await ada.people()).join() === 'Ada', 'Ada alone');
  const ben = await come('porch', 'Ben');
  await eventually(async () => (await ada.people()).join() === 'Ada,Ben', 'Ben to be seen');
  await ada.page.getByText('2 people are here.').waitFor();
  await ben.leave();
  await eventually(async () => (await ada.people()).join() === 'Ada', 'Ben to be gone');
});

test('after a reload the history is there, and the page is the same person', async () => {
  const ada = await come('attic', 'Ada');
  const ben = await come('attic', 'Ben');
  for (const text of ['one', 'two', 'three']) await ada.say(text);
  await ben.sees('three');
  await ben.say('four');
  await ada.sees('four');
  await ada.read('attic', 4);
  await ada.page.reload();
  await ada.connected();
  await ada.sees('four');
  const messages = await ada.messages();
  assert.deepEqual(messages.map(({ text, own }) => [text, own]), [['one', true], ['two', true], ['three', true], ['four', false]]);
  assert.ok(messages.every(({ state, recovered }) => state === 'sent' && !recovered));
  assert.equal(await ada.log.locator('.divider').count(), 0);
});

test('older messages come when one scrolls up, and the reader keeps their place', async () => {
  const writer = await come('cellar', 'Ada');
  const all = Array.from({ length: 170 }, (_, index) => `message ${index + 1}.`);
  for (const text of all) await writer.say(text);
  await writer.sees('message 170.');
  await eventually(async () => (await writer.messages()).every(({ state }) => state === 'sent'), 'all to be sent');

  const reader = await come('cellar', 'Ben');
  await reader.sees('message 170.');
  assert.equal((await reader.messages()).length, 50);
  const scroller = reader.page.locator('.scroller');
  for (const count of [100, 150, 170]) {
    const first = reader.log.locator('.message').first();
    const text = await first.locator('.words').textContent();
    await scroller.evaluate((element) => element.scrollTo(0, 0));
    await eventually(async () => (await reader.messages()).length >= count, `${count} messages`);
    const kept = reader.log.locator('.message', { has: reader.page.getByText(text, { exact: true }) });
    const { y } = await kept.boundingBox();
    const frame = await scroller.boundingBox();
    assert.ok(y >= frame.y && y < frame.y + 120, `${text} stays at the top of the list, not at ${y - frame.y}`);
  }
  await scroller.evaluate((element) => element.scrollTo(0, 0));
  await reader.page.getByText('This is where it begins').waitFor();
  assert.deepEqual(await reader.texts(), all);
  inOrder(await reader.messages());

  await writer.say('one more');
  await reader.page.getByRole('button', { name: '1 new message' }).click();
  await reader.log.getByText('one more').waitFor();
});

test('a room in the background counts what is new', async () => {
  const ada = await come('kitchen', 'Ada');
  const ben = await come('kitchen', 'Ben');
  await ada.page.getByLabel('Name of another room').fill('Balcony!');
  await ada.page.keyboard.press('Enter');
  await ada.page.getByRole('heading', { level: 1, name: 'balcony' }).waitFor();
  await ben.say('are you there?');
  await ben.say('hello?');
  await ada.page.getByRole('link', { name: 'kitchen, 2 new' }).click();
  await ada.sees('hello?');
  assert.deepEqual(await ada.texts(), ['are you there?', 'hello?']);
  await ada.page.getByRole('link', { name: 'kitchen', exact: true }).waitFor();
});

test('what others write is text, whatever it says', async () => {
  const ada = await come('lab', 'Ada');
  const ben = await come('lab', '<b>Ben</b>');
  const hostile = '<img src=x onerror=alert(1)> & "quotes"\nand a second line';
  await ben.page.getByRole('textbox', { name: /^Message to/ }).fill(hostile);
  await ben.page.getByRole('button', { name: 'Send' }).click();
  await ada.sees('and a second line');
  assert.deepEqual(await ada.texts(), [hostile]);
  assert.equal(await ada.log.locator('img').count(), 0);
  await ada.page.getByText('<b>Ben</b>', { exact: true }).first().waitFor();
});
