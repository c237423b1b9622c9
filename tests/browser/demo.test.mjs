// `make demo` and `make redis-demo` as a person runs them: they print what to open, it works, and Ctrl-C leaves
// nothing behind.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closeBrowser, openBrowser, Visitor } from './support/pages.mjs';
import { eventually, listens, Program } from './support/programs.mjs';

before(openBrowser);
after(closeBrowser);

/** Starts a target and reads which addresses it says to open. */
const demo = async (target) => {
  const make = new Program('make', [target, 'PORT=0'], { group: true });
  const line = await make.line(/The chat is open:/, 300_000);
  await make.line(/Ctrl-C stops everything/);
  const addresses = [...line.matchAll(/http:\/\/(\S+?)\//g)].map(([, address]) => address);
  const redis = make.lines.flatMap((said) => /redis:\/\/([\d.]+:\d+)/.exec(said)?.[1] ?? []);
  return { make, addresses, all: [...addresses, ...redis] };
};

const ended = async (make, addresses) => {
  await make.stop('SIGINT');
  for (const address of addresses) {
    const port = Number(address.split(':')[1]);
    await eventually(async () => !(await listens(port)), `nobody to listen on ${port}`, 5_000);
  }
};

test('make demo serves the chat with both bots on one address, until Ctrl-C', { timeout: 360_000 }, async () => {
  const { make, addresses, all } = await demo('demo');
  try {
    assert.equal(addresses.length, 1);
    const ada = await Visitor.enter(addresses[0], 'lobby', 'Ada');
    const ben = await Visitor.enter(addresses[0], 'lobby', 'Ben');
    await ada.say('Carrier and Rusty, are you there?');
    await ben.sees('Hello Ada! There are');
    await eventually(async () => (await ben.messages()).length === 3, 'an answer of each bot');
    await ben.say('A story, please');
    await ada.sees('A carrier pigeon set out');
    await ada.page.getByRole('button', { name: 'Cut the line' }).click();
    await ben.sees('Over the Jura');
    await ada.page.getByRole('button', { name: 'Mend the line' }).click();
    await ada.page.getByText(/messages? came home/).waitFor();
    await Promise.all([ada.leave(), ben.leave()]);
  } finally {
    await ended(make, all);
  }
});

test('make redis-demo serves it on two servers that share their rooms', { timeout: 360_000 }, async () => {
  const { make, addresses, all } = await demo('redis-demo');
  try {
    assert.equal(new Set(addresses).size, 2);
    assert.equal(all.length, 3);
    const ada = await Visitor.enter(addresses[0], 'lobby', 'Ada');
    const ben = await Visitor.enter(addresses[1], 'lobby', 'Ben');
    await ada.say('Can you read me over there?');
    await ben.sees('Can you read me over there?');
    await ben.say('Yes!');
    await ada.sees('Yes!');
    assert.deepEqual(await ada.texts(), await ben.texts());
    for (const visitor of [ada, ben]) {
      await eventually(async () => {
        const people = await visitor.people();
        return ['Ada', 'Ben', 'Carrier'].every((name) => people.includes(name));
      }, `everyone on ${visitor.name}'s page`);
    }
    await Promise.all([ada.leave(), ben.leave()]);
  } finally {
    await ended(make, all);
  }
});
