// `make backend-demo` as a person runs it, with each of the two backends: people log in, talk under the rules of the
// backend's hooks, hear what the backend itself says, and stay while their tokens are renewed.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closeBrowser, inOrder, openBrowser, Visitor } from './support/pages.mjs';
import { eventually, listens, Program } from './support/programs.mjs';

before(openBrowser);
after(closeBrowser);

const TOKEN_SECONDS = 3;

for (const backend of ['node', 'rust']) {
  test(`the chat runs on the backend in ${backend}`, { timeout: 360_000 }, async () => {
    const env = { TOKEN_SECONDS: String(TOKEN_SECONDS) };
    const make = new Program('make', ['backend-demo', `BACKEND=${backend}`, 'PORT=0'], { group: true, env });
    const [, address] = /http:\/\/(\S+?)\//.exec(await make.line(/The chat is open:/, 300_000));
    try {
      const [ada, bob] = [await Visitor.arrive(address, 'lobby', 'ada'), await Visitor.arrive(address, 'lobby', 'bob')];
      const renewals = ada.watchRefreshes();

      await ada.logIn('guess');
      await ada.page.getByRole('alert').getByText('Nobody has this name and this password.').waitFor();
      assert.deepEqual(await ada.violations(), []);
      await Promise.all([ada.logIn('lovelace'), bob.logIn('builder')]);
      await Promise.all([ada.connected(), bob.connected()]);
      const connectedAt = Date.now();

      await ada.say('Good morning');
      await bob.sees('Good morning');
      await bob.say('Cheap spam!');
      const refused = bob.log.locator('.message.own.failed', { hasText: 'Cheap spam!' });
      await refused.getByText('No spam.').waitFor();
      await bob.say('Good morning, Ada');
      await ada.sees('Good morning, Ada');

      await ada.say('/announce We close at nine');
      const announced = await bob.sees('We close at nine');
      await announced.getByText('The house', { exact: true }).waitFor();
      await ada.sees('We close at nine');

      await refused.getByRole('button', { name: 'Discard' }).click();
      await refused.waitFor({ state: 'detached' });
      for (const visitor of [ada, bob]) {
        assert.deepEqual(await visitor.texts(), ['Good morning', 'Good morning, Ada', 'We close at nine']);
        inOrder(await visitor.messages());
        await eventually(async () => (await visitor.people()).length === 2, `two people on ${visitor.name}'s page`);
        assert.deepEqual((await visitor.people()).sort(), ['ada', 'bob']);
      }

      await bob.page.goto(`http://${address}/#staff`);
      await bob.page.getByText('This room is closed: for staff').waitFor();

      // On the one socket that the page began with, although its first token has expired long ago.
      await eventually(() => renewals.answered >= 2, 'two renewals of a token');
      assert.ok(Date.now() - connectedAt > TOKEN_SECONDS * 1000);
      await ada.say('Still here');
      await ada.log.locator('.message.own.sent', { hasText: 'Still here' }).waitFor();
      assert.equal(renewals.sockets, 1);

      await ada.page.reload();
      await ada.connected();
      await ada.page.getByRole('button', { name: 'You are ada. Log in as somebody else' }).click();
      await ada.page.getByLabel('Your password').waitFor();

      // A wrong password is what the page was told with status 401.
      ada.trouble = ada.trouble.filter((line) => !/status of 401/.test(line));
      await Promise.all([ada.leave(), bob.leave()]);
    } finally {
      await make.stop('SIGINT');
      const port = Number(address.split(':')[1]);
      await eventually(async () => !(await listens(port)), `nobody to listen on ${port}`, 5_000);
    }
  });
}
