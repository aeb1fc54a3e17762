/**
 * @file Turns the runtime's telemetry off, by being imported before its library is loaded.
 *
 * onnxruntime 1.30 looks at ORT_DISABLE_TELEMETRY once, when its library is loaded. It sees what the main thread has put
 * into `process.env`, not what a worker thread has: there `process.env` is a copy. So this is the first import of the
 * library's entry, of the command line and of each file that imports the runtime. Without it the runtime writes a device id and
 * events into the home folder, looks up its vendor's server, and crashes on a long command line.
 */

// Whoever wants it says so: ORT_DISABLE_TELEMETRY=0.
process.env.ORT_DISABLE_TELEMETRY ||= '1';
