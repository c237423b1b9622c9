// The tarball itself: what is in it, what the checkers say, what compilers make of its types.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { consumer, here, install, tarball } from './support/consumer.mjs';

let apps;
let installed;
before(() => {
  apps = install('types');
  installed = join(apps, 'node_modules/homing');
});

const files = () =>
  readdirSync(installed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(installed.length + 1));

test('it holds what it needs and no more', () => {
  const names = files().sort();
  const expected = ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'dist/homing.wasm', 'dist/index.js', 'dist/slim.js', 'package.json'];
  assert.deepEqual(names.filter((name) => !/^dist\/(shared-\w+\.js|[\w./]+\.d\.ts)$/.test(name)), expected);
  const { dependencies, scripts } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  assert.equal(dependencies, undefined, 'it depends on nothing');
  for (const name of ['preinstall', 'install', 'postinstall']) assert.equal(scripts?.[name], undefined, 'installing runs nothing');
});

test('it tells nothing of the machine that built it', () => {
  for (const name of files()) {
    const text = readFileSync(join(installed, name), 'latin1');
    const path = /\/(?:root|home|Users|work|tmp)\/[\w.\/-]+|\.cargo\/registry[\w.\/-]*|\.rustup\/[\w.\/-]*/.exec(text);
    assert.equal(path?.[0], undefined, name);
  }
});

test('publint finds nothing', async () => {
  const { messages, pkg } = await publint({ pkgDir: installed, pack: false, strict: true });
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg, { color: false })), []);
});

test('the types are found however a program resolves them', async () => {
  const { problems } = await checkPackage(createPackageFromTarballData(readFileSync(tarball)), { excludeEntrypoints: ['./homing.wasm'] });
  // Only ES modules are in it, and an old resolution ("node10") does not know the map that has homing/slim.
  const known = ({ kind, resolutionKind }) => kind === 'CJSResolvesToESM' || (kind === 'NoResolution' && resolutionKind === 'node10');
  assert.deepEqual(problems.filter((problem) => !known(problem)), []);
});

const require = createRequire(import.meta.url);
const compilers = { 'the oldest TypeScript': 'typescript-oldest', 'TypeScript 5.9': 'typescript', 'the newest TypeScript': 'typescript-newest' };
const settings = {
  bundler: { module: 'esnext', moduleResolution: 'bundler', target: 'es2022', lib: ['es2022', 'dom'] },
  nodenext: { module: 'nodenext', moduleResolution: 'nodenext', target: 'es2022', lib: ['es2022', 'dom'] },
  'esnext library': { module: 'esnext', moduleResolution: 'bundler', target: 'esnext', lib: ['esnext', 'dom'] },
};
for (const [compiler, name] of Object.entries(compilers)) {
  for (const [setting, options] of Object.entries(settings)) {
    test(`${compiler} accepts an app, ${setting}`, async () => {
      const folder = consumer(apps, `${name} ${setting}`.replaceAll(' ', '-'), {
        'package.json': '{ "type": "module" }',
        'tsconfig.json': JSON.stringify({
          compilerOptions: { ...options, strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false, noEmit: true, types: [] },
          files: ['types.ts'],
        }),
      });
      cpSync(join(here, 'fixtures/types.ts'), join(folder, 'types.ts'));
      const tsc = join(dirname(require.resolve(`${name}/package.json`)), 'bin/tsc');
      const said = await promisify(execFile)(process.execPath, [tsc, '-p', folder]).then(() => '', ({ stdout, stderr }) => stdout + stderr);
      assert.equal(said, '');
    });
  }
}
