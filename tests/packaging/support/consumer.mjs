// An app that has installed the packed package: a folder per consumer, below one installation of the tarball.
// Nothing of this repository is in reach of it but through the tarball.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = dirname(dirname(fileURLToPath(import.meta.url)));
const root = dirname(dirname(here));
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
const { version } = JSON.parse(readFileSync(join(root, 'js/package.json'), 'utf8'));

export const tarball = join(root, `target/package/homing-${version}.tgz`);

/** Installs the tarball afresh; the folder that it is installed in. */
export const install = (name) => {
  const folder = join(target, 'packaging', name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  execFileSync('npm', ['install', '--offline', '--no-audit', '--no-fund', '--loglevel=error', tarball], { cwd: folder });
  return folder;
};

/** A consumer's folder with these files. */
export const consumer = (apps, name, files) => {
  const folder = join(apps, name);
  mkdirSync(folder, { recursive: true });
  cpSync(join(here, 'fixtures/talk.js'), join(folder, 'talk.js'));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  return folder;
};

/** A page that loads one script. */
export const page = (script, attributes = 'type="module"') =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>waiting</title><script ${attributes} src="${script}"></script></html>`;
