/** @file What keeps `npm ci` quiet and offline: no dependency's install script runs, whichever version of npm it is. */

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const json = (name: string): Record<string, Record<string, Record<string, unknown>>> =>
  JSON.parse(readFileSync(`${root}/${name}`, 'utf8'));

it('every install script among the dependencies is declined', () => {
  const { packages = {} } = json('package-lock.json');
  const scripted = Object.keys(packages).filter((path) => packages[path]?.hasInstallScript);
  const names = scripted.map((path) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
  expect(names).toContain('onnxruntime-node');
  expect(json('package.json').allowScripts).toEqual(Object.fromEntries(names.map((name) => [name, false])));
  // A setting for one package's script is a key that npm warns of.
  expect(existsSync(`${root}/.npmrc`)).toBe(false);
});

it("onnxruntime-node's, where npm runs it, downloads only what is asked for", () => {
  const script = "require('./scripts/no-download').bootstrap(); console.log('goes on')";
  const run = (variables: Record<string, string>, ...flags: string[]) => {
    const { ONNXRUNTIME_NODE_INSTALL: _, ...env } = process.env;
    const options = { cwd: root, encoding: 'utf8', env: { ...env, ...variables } } as const;
    const { status, stdout } = spawnSync(process.execPath, ['-e', script, '--', ...flags], options);
    return [status, stdout];
  };
  expect(run({})).toEqual([0, '']);
  expect(run({}, '--onnxruntime-node-install=cuda12')).toEqual([0, 'goes on\n']);
  expect(run({ ONNXRUNTIME_NODE_INSTALL: 'cuda12' })).toEqual([0, 'goes on\n']);
});

it.skipIf(process.platform === 'win32')('the built command may be executed', () => {
  accessSync(`${root}/dist/cli/main.js`, constants.X_OK);
});
