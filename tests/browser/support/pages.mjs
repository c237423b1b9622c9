// A visitor of the chat: one page in a browser context of its own, used through what a person sees. What the page
// logs as an error is kept, and fails the test that closes it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { eventually } from './programs.mjs';

const axe = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');
let browser;

export const openBrowser = async () => {
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
};

export const closeBrowser = () => browser?.close();

/** What Chromium itself logs when a socket cannot be opened, which these tests see to. */
const EXPECTED = /WebSocket connection to .* failed|Failed to load resource: net::ERR_/;

/** Commands that come when the stream of their session was cut are not found there; the next stream sees to them. */
const isLate = (message) => /status of 404/.test(message.text()) && message.location().url.endsWith('/emulation');

export class Visitor {
  /** Stands before the chat's door. */
  static async arrive(address, room, name, { patience = 15_000, ...options } = {}) {
    const context = await browser.newContext({ viewport: { width: 1200, height: 760 }, ...options });
    context.setDefaultTimeout(patience);
    const visitor = new Visitor(await context.newPage(), name);
    await visitor.page.goto(`http://${address}/#${room}`);
    return visitor;
  }

  /** Opens the chat and comes in under this name. */
  static async enter(address, room, name, options) {
    const visitor = await Visitor.arrive(address, room, name, options);
    await visitor.page.getByLabel('What should we call you?').fill(name);
    await visitor.page.getByRole('button', { name: 'Come in' }).click();
    await visitor.connected();
    return visitor;
  }

  /** Fills in the door of a chat that has a backend. */
  async logIn(password) {
    await this.page.getByLabel('Your name').fill(this.name);
    await this.page.getByLabel('Your password').fill(password);
    await this.page.getByRole('button', { name: 'Come in' }).click();
  }

  constructor(page, name) {
    this.page = page;
    this.name = name;
    this.trouble = [];
    page.on('pageerror', (error) => this.trouble.push(error.stack));
    page.on('console', (message) => {
      if (message.type() === 'error' && !EXPECTED.test(message.text()) && !isLate(message)) this.trouble.push(message.text());
    });
  }

  get state() {
    return this.page.getByRole('status');
  }

  get log() {
    return this.page.getByRole('log');
  }

  async connected() {
    await this.state.getByText('Connected').waitFor();
    await this.page.locator('[role=log][aria-busy=false]').waitFor({ state: 'attached' });
  }

  async say(text) {
    await this.page.getByRole('textbox', { name: /^Message to/ }).fill(text);
    await this.page.keyboard.press('Enter');
  }

  /** Waits until a message is there; its row. */
  async sees(text) {
    const row = this.log.locator('.message', { hasText: text }).last();
    await row.waitFor();
    return row;
  }

  /** The messages on the page, from top to bottom. */
  messages() {
    return this.log.locator('.message').evaluateAll((rows) =>
      rows.map((row) => ({
        key: row.dataset.key,
        offset: Number(row.dataset.offset),
        text: row.querySelector('.words').textContent,
        own: row.classList.contains('own'),
        state: ['waiting', 'sent', 'failed'].find((state) => row.classList.contains(state)),
        recovered: row.classList.contains('recovered'),
      })),
    );
  }

  /** The refresh commands that the page's sockets have had answered, and how many sockets there were. */
  watchRefreshes() {
    const seen = { answered: 0, sockets: 0 };
    this.page.on('websocket', (socket) => {
      if (!socket.url().endsWith('/connection/websocket')) return;
      seen.sockets += 1;
      socket.on('framereceived', ({ payload }) => (seen.answered += [...String(payload).matchAll(/"id":\d+,"refresh":{/g)].length));
    });
    return seen;
  }

  async texts() {
    return (await this.messages()).map(({ text }) => text);
  }

  /** Reads a complaint, and has it gone. */
  async dismisses(words) {
    const complaint = this.page.locator('.complaint', { hasText: words });
    await complaint.getByRole('button', { name: 'Dismiss' }).click();
    await complaint.waitFor({ state: 'detached' });
  }

  /** What the page has stored, by key. */
  #stored() {
    return this.page.evaluate(
      () =>
        new Promise((resolve, reject) => {
          const opening = indexedDB.open('homing');
          opening.onerror = () => reject(opening.error);
          opening.onsuccess = () => {
            const db = opening.result;
            const all = db.transaction('records').objectStore('records');
            const [keys, values] = [all.getAllKeys(), all.getAll()];
            all.transaction.oncomplete = () => {
              db.close();
              resolve(keys.result.map((key, at) => [key.at(-1), JSON.stringify(values.result[at])]));
            };
          };
        }),
    );
  }

  /** Waits until so many messages of the outbox are stored. */
  kept(count) {
    return eventually(async () => (await this.#stored()).filter(([key]) => key.startsWith('e/')).length === count, `${count} stored messages`);
  }

  /** Waits until it is stored that the room was read up to an offset. */
  read(room, offset) {
    return eventually(async () => {
      const [, position] = (await this.#stored()).find(([key]) => key === `o/chat:${room}`) ?? [];
      return position !== undefined && new RegExp(`offset[^0-9]+${offset}[^0-9]`).test(position);
    }, `the stored position ${offset} of ${room}`);
  }

  /** What breaks the rules of accessibility. */
  async violations() {
    // The page's policy forbids foreign scripts; this one comes in behind it.
    await this.page.evaluate(axe);
    const { violations } = await this.page.evaluate(() => globalThis.axe.run());
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`);
  }

  people() {
    return this.page.locator('.people .person-name').allTextContents();
  }

  /** Fails if the page had trouble. */
  async leave() {
    await this.page.context().close();
    assert.deepEqual(this.trouble, [], `${this.name}'s page had trouble`);
  }
}

/** Nothing twice, in the order of the channel. */
export const inOrder = (messages) => {
  const offsets = messages.map(({ offset }) => offset);
  assert.deepEqual(offsets, [...new Set(offsets)].sort((one, other) => one - other), 'offsets ascend');
  assert.equal(new Set(messages.map(({ key }) => key)).size, messages.length, 'nothing is shown twice');
};
