// Starts one emulator on 127.0.0.1 and prints its port: node emulator.js NAME FOLDER_OF_NODE_MODULES [PORT]
// kinesalite and kinesis-local have no option for the address and would listen on every interface; `listen` is told here.
'use strict';
const net = require('net');
const path = require('path');
const [name, modules, port] = process.argv.slice(2);
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (first, ...rest) {
  const callback = rest.find((x) => typeof x === 'function');
  if (first && typeof first === 'object') return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest);
  return callback ? listen.call(this, first, '127.0.0.1', callback) : listen.call(this, first, '127.0.0.1');
};
const load = (module) => require(path.join(modules, module));
const quick = { createTableMs: 5, deleteTableMs: 5, updateTableMs: 5, createStreamMs: 5, deleteStreamMs: 5, updateStreamMs: 5 };
if (name === 'kinesis-local') {
  process.chdir(path.join(modules, 'kinesis-local'));
  load('kinesis-local/main.js');
} else {
  const server = load(name)({ ...quick, shardLimit: 100000 });
  server.keepAliveTimeout = 120000; // boto3 keeps connections open longer than Node's five seconds
  server.listen(Number(port || 0), '127.0.0.1', () => console.log(server.address().port));
}
process.stdin.on('end', () => process.exit(0)).resume(); // whoever started us is gone
