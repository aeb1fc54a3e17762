/**
 * @file Keeps `npm ci` in this repository from downloading CUDA libraries (300 MB, and an error without a network).
 *
 * The install script of onnxruntime-node first calls `bootstrap` of global-agent, a package for proxies that nothing
 * else uses. npm 11 and later don't run that script, by `allowScripts` in package.json; npm 10 does, and a setting for
 * it in .npmrc would be an unknown key, of which npm 11 warns on every call. Where the download is asked for, nothing
 * is changed but that proxies are not looked for.
 */

const flags = ['ONNXRUNTIME_NODE_INSTALL', 'ONNXRUNTIME_NODE_INSTALL_CUDA', 'npm_config_onnxruntime_node_install'];

exports.bootstrap = () => {
  const asked =
    flags.some((name) => process.env[name]) ||
    process.argv.some((argument) => argument.startsWith('--onnxruntime-node-install'));
  if (!asked) process.exit(0);
};
