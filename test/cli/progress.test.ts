/** @file Progress bars in a terminal, and the terminal when a signal ends the process. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';

const progress = new URL('../../dist/cli/progress.js', import.meta.url).href;
/** What terminals understand as hiding and showing the cursor, and as wrapping lines again. */
const [hide, show, wrap] = ['\u001b[?25l', '\u001b[?25h', '\u001b[?7h'];

/** Shows a bar on what passes for a terminal, sends a signal, and tells how that ended. */
async function interrupt(signal: NodeJS.Signals, listener: string): Promise<{ end: unknown[]; shown: string }> {
  const program = `
    process.stderr.isTTY = true;
    const { startProgress } = await import(${JSON.stringify(progress)});
    startProgress('reading', 10, 'images').update(3);
    ${listener}
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TERM: 'xterm', CI: '' },
  });
  let shown = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (!shown.includes(hide) && (shown + text).includes(hide)) setTimeout(() => child.kill(signal), 300);
    shown += text;
  });
  const end = await once(child, 'close');
  return { end, shown };
}

describe('a bar', () => {
  it.each<[Record<string, string>, boolean]>([
    [{ TERM: 'xterm' }, true],
    [{ TERM: 'xterm', CI: 'false' }, true],
    [{ TERM: 'dumb' }, false],
    [{ TERM: 'xterm', CI: 'true' }, false],
    [{ TERM: 'xterm', CI: '1' }, false],
  ])('with %j on a terminal is drawn: %s', (variables, drawn) => {
    const program = `
      process.stderr.isTTY = true;
      const { startCounter, startProgress } = await import(${JSON.stringify(progress)});
      const [bar, counter] = [startProgress('reading', 10, 'images'), startCounter()];
      bar.update(3);
      counter.update(1, 4, 'bc40');
      bar.stop();
      counter.stop();`;
    const { CI: _, ...env } = process.env;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      env: { ...env, ...variables },
    });
    expect([status, stderr.includes('\u001b')]).toEqual([0, drawn]);
    if (!drawn) expect(stderr).toMatch(/^measured 1\/4 {2}bc40 .* left\n$/);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('gives the terminal back when %s ends the process', async (signal) => {
    const { end, shown } = await interrupt(signal, '');
    expect(end).toEqual([null, signal]);
    for (const code of [show, wrap]) expect(shown.lastIndexOf(code)).toBeGreaterThan(shown.lastIndexOf(hide));
  });

  it('stays where a command decides for itself what a signal means, until that steps aside', async () => {
    const own = `const own = () => {
        process.stderr.write('heard;');
        process.off('SIGINT', own);
        setTimeout(() => process.kill(process.pid, 'SIGINT'), 200);
      };
      process.on('SIGINT', own);`;
    const { end, shown } = await interrupt('SIGINT', own);
    expect(end).toEqual([null, 'SIGINT']);
    const heard = shown.indexOf('heard;');
    expect(shown.slice(0, heard)).not.toContain(show);
    expect(shown.slice(heard)).toContain(show);
  });
});
