// The chat for everyone: rules of accessibility, both colour schemes, narrow and wide, the keyboard, no motion.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enter, stage } from './support/stage.mjs';

const { server } = await stage();
const come = (room, name, options) => enter(server.address, room, name, options);

const looks = {
  'wide and light': { viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  'wide and dark': { viewport: { width: 1280, height: 800 }, colorScheme: 'dark' },
  'narrow and light': { viewport: { width: 375, height: 700 }, colorScheme: 'light' },
  'narrow and dark': { viewport: { width: 375, height: 700 }, colorScheme: 'dark' },
};
for (const [look, options] of Object.entries(looks)) {
  test(`${look}: it keeps the rules, with and without a line`, async () => {
    const still = { ...options, reducedMotion: 'reduce' };
    const room = look.replaceAll(' ', '-');
    const ada = await come(room, 'Ada', still);
    const ben = await come(room, 'Ben', still);
    await ben.say('Hello');
    await ada.say('A word that is so long that it has to be broken somewhere: '.concat('o'.repeat(80)));
    await ada.sees('Hello');
    await ada.sees('oooo');
    await ada.page.locator('.message.own.sent').waitFor();
    assert.deepEqual(await ada.violations(), []);
    await ada.page.getByRole('button', { name: 'Cut the line' }).click();
    await ada.say('still here');
    await ben.say('who is?');
    await ben.page.locator('.message.own.sent').nth(1).waitFor();
    await ada.page.getByText('1 message waits').waitFor();
    assert.deepEqual(await ada.violations(), []);
    await ada.page.getByRole('button', { name: 'Mend the line' }).click();
    await ada.page.getByText('1 message came home').waitFor();
    assert.deepEqual(await ada.violations(), []);
    const sideways = await ada.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(sideways, 0, 'the page does not scroll sideways');
  });
}

test('everything can be done with the keyboard', async () => {
  const ada = await come('keys', 'Ada', { viewport: { width: 900, height: 700 } });
  const { page } = ada;
  await page.keyboard.type('typed at once');
  await page.keyboard.press('Enter');
  await ada.sees('typed at once');
  await page.getByRole('button', { name: 'Cut the line' }).focus();
  await page.keyboard.press('Enter');
  await ada.state.getByText('The line is cut').waitFor();
  await page.keyboard.press('Space');
  await ada.state.getByText('Connected').waitFor();
  await page.getByRole('button', { name: /here$/ }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('complementary', { name: 'Who is here' }).getByText('Ada').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('complementary', { name: 'Who is here' }).waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: /Change your name/ }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('textbox', { name: 'Your name' }).fill('Ada Moss');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'You are Ada Moss. Change your name' }).waitFor();
});
