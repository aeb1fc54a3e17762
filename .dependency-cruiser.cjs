/** @file The layers: what each room of the house may import. Why they are these: docs/architecture.md. */

/**
 * A room's rule: of our own files it imports only those below the given folders, and its own.
 * @param {string} room folder, or a file
 * @param {...string} allowed folders or files
 */
function only(room, ...allowed) {
  const places = [room, ...allowed].map((place) => place.replaceAll('.', '\\.'));
  return {
    name: `${room}-imports`,
    comment: `${room} may import only ${allowed.join(', ') || 'itself'} of ours; move what it needs there, or pass it in`,
    severity: 'error',
    from: { path: `^${places[0]}(/|$)` },
    to: { pathNot: [`^(${places.join('|')})(/|$)`, 'node_modules/'], dependencyTypesNot: ['core'] },
  };
}

/**
 * A room inside the runtime: of the runtime's rooms it imports only its own and the given ones.
 * @param {string} room folder in src/runtime
 * @param {...string} allowed folders there
 */
function runtimeRoom(room, ...allowed) {
  return {
    name: `runtime-${room}-imports`,
    comment: `src/runtime/${room} may import only ${allowed.join(', ') || 'itself'} of the runtime's rooms`,
    severity: 'error',
    from: { path: `^src/runtime/${room}/` },
    to: { path: '^src/runtime/', pathNot: `^src/runtime/(${[room, ...allowed].join('|')})/` },
  };
}

/**
 * A package that only one room may know.
 * @param {string} room
 * @param {...string} packages
 */
function guard(room, ...packages) {
  return {
    name: `only-${room}-knows-${packages[0]}`,
    comment: `${packages.join(' and ')} are known in ${room} only; use what that room exports`,
    severity: 'error',
    from: { path: '^(src|cli|examples|bench)/', pathNot: `^${room}/` },
    to: { path: `(^|/)node_modules/(${packages.join('|')})/` },
  };
}

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    only('src/ir'),
    only('src/step', 'src/ir'),
    only('src/choices.ts', 'src/ir'),
    only('src/operators', 'src/ir'),
    only('src/builders', 'src/choices.ts', 'src/ir', 'src/step'),
    only('src/targets', 'src/ir'),
    only('src/passes', 'src/choices.ts', 'src/ir', 'src/step', 'src/targets'),
    only('src/memory', 'src/ir', 'src/step', 'src/targets'),
    only('src/onnx', 'src/ir', 'src/memory'),
    only('src/check-kernels.ts', 'src/ir', 'src/onnx', 'src/targets'),
    only(
      'src/compile.ts',
      'src/builders',
      'src/check-kernels.ts',
      'src/ir',
      'src/memory',
      'src/passes',
      'src/step',
      'src/targets',
    ),
    only('src/inference.ts', 'src/builders', 'src/ir', 'src/passes', 'src/step', 'src/targets'),
    only('src/own-files.ts', 'src/ir'),
    only('src/version.ts', 'src/own-files.ts'),
    only('src/runtime', 'src'),
    runtimeRoom('files'),
    runtimeRoom('session', 'files'),
    runtimeRoom('data', 'files'),
    runtimeRoom('bundle', 'files', 'session'),
    runtimeRoom('model', 'files', 'session', 'data', 'bundle'),
    runtimeRoom('measure', 'files', 'session', 'data', 'bundle', 'model'),
    runtimeRoom('report', 'measure', 'model'),
    runtimeRoom('verify', 'files', 'session', 'data', 'bundle', 'model', 'measure'),
    runtimeRoom('deploy', 'files', 'session', 'data', 'bundle', 'model'),
    // The loop knows all rooms; none knows it.
    only('src/index.ts', 'src'),
    only('cli', 'src'),
    only('bench', 'src', 'examples', 'cli/output.ts', 'cli/parse.ts', 'cli/progress.ts'),
    // Parts of a network, or the library as others see it.
    only('examples', 'src/builders', 'src/index.ts'),
    guard('src/onnx', 'onnx-proto', 'protobufjs'),
    guard('src/runtime/session', 'onnxruntime-node', 'onnxruntime-common'),
    guard('src/runtime/session', 'koffi'),
    {
      name: 'no-cycles',
      comment: 'two files that need each other are one file, or share a third',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-development-packages',
      comment: 'what we ship runs without devDependencies; make it a dependency or leave it',
      severity: 'error',
      from: { path: '^(src|cli)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'everything-resolves',
      comment: 'the file or package does not exist',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    // An import of types is an import: it says who knows whom.
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
};
