// Node.js: worker threads over shared memory, files, HTTP over loopback, crypto, zlib, child
// processes, a loop that V8 compiles, and a heap that it has to collect.
'use strict';
const { Worker, isMainThread, workerData, parentPort } = require('worker_threads');
const assert = require('assert');
const child = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');
const zlib = require('zlib');

const SIZE = Number(process.argv[2] || 200000); // objects on the heap

if (!isMainThread) {
  const counter = new Int32Array(workerData.shared);
  let own = 0;
  for (let i = 0; i < 50000; i++) {
    Atomics.add(counter, 0, 1);
    own = (own * 31 + i) | 0;
  }
  Atomics.add(counter, 1, 1);
  Atomics.notify(counter, 1);
  parentPort.postMessage({ number: workerData.number, own });
  return;
}

async function workers() {
  const shared = new SharedArrayBuffer(16);
  const all = [0, 1, 2, 3].map((number) => new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: { shared, number } });
    worker.on('message', resolve);
    worker.on('error', reject);
  }));
  const said = await Promise.all(all);
  console.log('workers', new Int32Array(shared)[0], said.map((s) => s.own).join(' '));
}

async function files() {
  const directory = fs.mkdtempSync('node-');
  const names = [];
  for (let i = 0; i < 30; i++) names.push(path.join(directory, `file-${i}`));
  await Promise.all(names.map((name, i) => fs.promises.writeFile(name, crypto.createHash('sha512')
    .update(String(i)).digest('hex').repeat(i * 20))));
  const read = await Promise.all(names.map((name) => fs.promises.readFile(name)));
  const sum = crypto.createHash('sha256');
  for (const data of read) sum.update(data);
  const listed = (await fs.promises.readdir(directory)).length;
  await fs.promises.rm(directory, { recursive: true });
  console.log('files', listed, sum.digest('hex'), fs.existsSync(directory));
}

async function server() {
  const listening = http.createServer((request, response) => {
    let size = 0;
    request.on('data', (piece) => { size += piece.length; });
    request.on('end', () => response.end(`${request.method} ${request.url} ${size}`));
  });
  await new Promise((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const { port } = listening.address();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const ask = (n) => new Promise((resolve, reject) => {
    const request = http.request({ port, agent, path: `/${n}`, method: 'POST' }, (response) => {
      let text = '';
      response.on('data', (piece) => { text += piece; });
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
    request.end(Buffer.alloc(n * 1000, n));
  });
  const answers = await Promise.all([...Array(60).keys()].map(ask));
  agent.destroy();
  await new Promise((resolve) => listening.close(resolve));
  console.log('http', crypto.createHash('sha256').update(answers.join()).digest('hex'));
}

async function threadPool() {
  const key = await new Promise((resolve, reject) => crypto.pbkdf2('secret', 'salt', 20000, 64,
    'sha512', (error, made) => (error ? reject(error) : resolve(made))));
  const data = Buffer.alloc(3 << 20);
  for (let i = 0; i < data.length; i++) data[i] = (i * i) >> 7;
  const packed = await new Promise((resolve) => zlib.gzip(data, (_, made) => resolve(made)));
  assert(zlib.gunzipSync(packed).equals(data));
  const { publicKey, privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signed = crypto.sign('sha256', data, privateKey);
  console.log('pool', key.toString('hex').slice(0, 32), crypto.verify('sha256', data, publicKey,
    signed));
}

function compiled() {
  let h = 0;
  const f = (x, i) => ((x << 5) - x + (i ^ (x >>> 3))) | 0;
  for (let i = 0; i < 20000000; i++) h = f(h, i);
  const wasm = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7, 5, 1,
    1, 102, 0, 0, 10, 15, 1, 13, 0, 32, 0, 32, 1, 106, 45, 0, 0, 65, 7, 106, 11])));
  let trapped = '';
  try {
    wasm.exports.f(1 << 24, 0); // beyond its memory: SIGSEGV under the hood
  } catch (error) {
    trapped = error.message;
  }
  console.log('compiled', h, wasm.exports.f(1, 2), trapped);
}

function heap() {
  let kept = [];
  for (let round = 0; round < 3; round++) {
    kept = kept.filter((_, i) => i % 2);
    for (let i = 0; i < SIZE; i++) kept.push({ round, i, text: `object ${i}`, more: [i, i * 2] });
  }
  let sum = 0;
  for (const object of kept) sum = (sum + object.i * object.more[1] + object.text.length) % 1e9;
  console.log('heap', kept.length, sum);
}

async function children() {
  const out = child.execFileSync('/bin/sh', ['-c', 'cat; echo $0 $1; exit 0', 'a', 'b'],
    { input: 'to the child\n' });
  const ended = await new Promise((resolve) => child.spawn('/bin/sh', ['-c', 'kill -TERM $$'])
    .on('exit', (code, signal) => resolve(`${code} ${signal}`)));
  const forked = child.fork(__filename, ['--child']);
  const answer = await new Promise((resolve) => {
    forked.on('message', resolve);
    forked.send({ n: 21 });
  });
  console.log('children', JSON.stringify(out.toString()), ended, answer.n);
}

async function timers() {
  const order = [];
  await new Promise((resolve) => {
    setTimeout(() => { order.push('late'); resolve(); }, 30);
    setTimeout(() => order.push('early'), 1);
    setImmediate(() => order.push('immediate'));
    process.nextTick(() => order.push('tick'));
  });
  const caught = await new Promise((resolve) => {
    const alive = setTimeout(() => resolve('nothing'), 20000); // a handler alone keeps no loop
    process.once('SIGUSR2', (signal) => { clearTimeout(alive); resolve(signal); });
    process.kill(process.pid, 'SIGUSR2');
  });
  console.log('timers', order[0], order[order.length - 1], caught);
}

if (process.argv[2] === '--child') {
  process.on('message', ({ n }) => process.send({ n: n * 2 }, () => process.disconnect()));
} else {
  (async () => {
    await workers();
    await files();
    await server();
    await threadPool();
    compiled();
    heap();
    await children();
    await timers();
  })();
}
