#!/usr/bin/env bash
# @file Packs densec, installs it in an empty project from the npm registry, and uses it there as the README says: the
# command, and the library from TypeScript under strict with all typings checked.
#
# Wants `npm ci` done. Takes about a minute.
set -euo pipefail
cd "$(dirname "$0")/.."

project=$(mktemp -d)
elsewhere=$(mktemp -d)
trap 'rm -rf "$project" "$elsewhere"' EXIT
tsc=$PWD/node_modules/typescript/bin/tsc

npm pack --silent --pack-destination "$project" >/dev/null
if tar tzf "$project"/densec-*.tgz | grep -vE '^package/(dist/(src|cli)/|package.json|docs/api.md|README.md|CHANGELOG.md|LICENSE)'; then
  echo 'the package holds these files, which its users have no use for' >&2
  exit 1
fi
cp scripts/check-package.ts "$project/check.mts"
cp scripts/check-bundled.ts "$project/bundled.mts"
cd "$project"
cat >package.json <<'JSON'
{ "name": "empty", "private": true, "type": "module" }
JSON
cat >tsconfig.json <<'JSON'
{
  "compilerOptions": {
    "strict": true,
    "module": "nodenext",
    "target": "es2022",
    "lib": ["es2022"],
    "types": ["node"],
    "skipLibCheck": false,
    "noEmitOnError": true
  },
  "files": ["check.mts", "bundled.mts"]
}
JSON

# As documented: no package needs its install script, and onnxruntime-node's would download CUDA libraries.
said=$(npm install --ignore-scripts --no-audit --no-fund ./densec-*.tgz @types/node@20 2>&1)
if grep -q 'npm warn' <<<"$said"; then
  echo "the installation warns: $said" >&2
  exit 1
fi

npx densec --help >/dev/null
npx densec build --block-config 1,1 --growth-rate 4 --image-size 8 --classes 3 -o net >/dev/null 2>&1
node "$tsc" -p .
node check.mjs
npx densec step net --state net/initial.safetensors --batch batch.safetensors --lr 0.1 --steps 2 --save after.safetensors --json
npx densec export net --weights after.safetensors -o model.onnx 2>/dev/null >&2
npx densec predict model.onnx --batch batch.safetensors

# A bundler that knows nothing of densec: the threads' files are found in node_modules.
npm install --ignore-scripts --silent --no-audit --no-fund esbuild
for kind in esm:mjs cjs:cjs; do
  npx esbuild bundled.mts --bundle --platform=node --format=${kind%:*} --outfile=out.${kind#*:} --log-level=error
  node out.${kind#*:}
done
# Without them, that is said.
cp out.cjs "$elsewhere"
cd "$elsewhere"
if node out.cjs 2>error.txt || ! grep -q 'keep densec in node_modules there' error.txt; then
  cat error.txt >&2
  exit 1
fi
echo 'package: installed in an empty project, command and library work'
