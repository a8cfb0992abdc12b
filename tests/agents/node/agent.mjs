// Usage: CORE_AUTH_KEY=… node agent.mjs GRPC_PORT
// Calls every RPC of NodeService rightly and wrongly; ends with 1 at the first answer that is not the promised one.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const PROTO = fileURLToPath(new URL('../../../proto/node-service.proto', import.meta.url));
const port = process.argv[2] ?? process.env.GRPC_PORT;
const authKey = process.env.CORE_AUTH_KEY;
if (!port || !authKey) {
  console.error('usage: CORE_AUTH_KEY=… node agent.mjs GRPC_PORT');
  process.exit(2);
}

const definition = loader.loadSync(PROTO, { keepCase: false, longs: Number, defaults: true, oneofs: true });
const { nodeservice } = grpc.loadPackageDefinition(definition);
const client = new nodeservice.NodeService(`127.0.0.1:${port}`, grpc.credentials.createInsecure());

const METHODS = {
  heartbeat: { revision: 0, ip: '' },
  reportUsage: { entries: [] },
  reportOutboundUsage: { items: [] },
  getLatestConfig: {},
  confirmConfigApplied: { revision: 0 },
  reportNodeStats: { system: {}, mtprotoJson: '' },
  reportOnlineUsers: { users: [] },
};

/** One call: the key goes into the metadata, as the document says, unless `key` says otherwise. */
function call(method, request, { key = authKey, field = '', name } = {}) {
  const metadata = new grpc.Metadata();
  if (key !== undefined && key !== null) metadata.set('x-node-auth-key', key);
  if (name) metadata.set('x-idempotency-key', name);
  const deadline = Date.now() + 20_000;
  return new Promise((resolve, reject) => {
    client[method]({ authKey: field, ...request }, metadata, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function fails(code, method, request, options) {
  try {
    await call(method, request, options);
  } catch (error) {
    assert.equal(error.code, code, `${method}: ${error.message}`);
    return error.details;
  }
  throw new Error(`${method}: an error with the code ${code} was expected`);
}

const said = (line) => console.log(`ok ${line}`);
const now = () => new Date().toISOString();
const entry = (userId, bytesUp, bytesDown, more = {}) => ({
  userId,
  subscriptionId: userId,
  nodeProtocolId: 11,
  bytesUp,
  bytesDown,
  recordedAt: now(),
  ...more,
});

async function heartbeat(revision) {
  assert.deepEqual(await call('heartbeat', { revision: 0, ip: '' }), { ok: true, needSync: true });
  assert.deepEqual(await call('heartbeat', {}), { ok: true, needSync: true });
  assert.deepEqual(await call('heartbeat', { revision, ip: '' }), { ok: true, needSync: false });
  assert.deepEqual(await call('heartbeat', { revision }, { key: null, field: authKey }), { ok: true, needSync: false });
  assert.deepEqual(await call('heartbeat', { revision }, { key: '', field: authKey }), { ok: true, needSync: false });
  said('Heartbeat');
}

async function getLatestConfig() {
  const config = await call('getLatestConfig', {});
  assert.deepEqual(Object.keys(config).sort(), ['clientMapJson', 'mtprotoClientMapJson', 'revision', 'servicesJson']);
  assert.ok(Number.isSafeInteger(config.revision) && config.revision > 0);
  assert.deepEqual(JSON.parse(config.clientMapJson)['1'], { userId: 1, subscriptionId: 1 });
  assert.ok(JSON.parse(config.servicesJson).xray.inbounds.length > 0);
  assert.equal(typeof JSON.parse(config.mtprotoClientMapJson), 'object');
  said('GetLatestConfig');
  return config.revision;
}

async function confirmConfigApplied(revision) {
  assert.deepEqual(await call('confirmConfigApplied', { revision }), { ok: true });
  assert.match(await fails(grpc.status.INVALID_ARGUMENT, 'confirmConfigApplied', { revision: -1 }), /revision/);
  said('ConfirmConfigApplied');
}

async function reportUsage() {
  const entries = [entry(1, 1, 2), entry(2, 10, 20), entry(1, 100, 200, { subscriptionId: 0 })];
  const accepted = { ok: true, rejected: 0 };
  assert.deepEqual(await call('reportUsage', { entries }), accepted);
  assert.deepEqual(await call('reportUsage', { entries }), accepted, 'a repeat is acknowledged');
  const large = [entry(2, 10_000, 20_000)];
  for (let attempt = 0; attempt < 3; attempt += 1) {
    assert.deepEqual(await call('reportUsage', { entries: large }, { name: 'js-1' }), accepted);
  }
  const mixed = [entry(1, -1, 0), entry(1, Number.MAX_SAFE_INTEGER, 0)];
  assert.deepEqual(await call('reportUsage', { entries: mixed }), { ok: true, rejected: 2 });
  assert.deepEqual(await call('reportUsage', { entries: [] }), accepted);
  const many = Array.from({ length: 50_001 }, () => entry(1, 1, 1));
  assert.match(await fails(grpc.status.INVALID_ARGUMENT, 'reportUsage', { entries: many }), /entries/);
  said('ReportUsage');
}

async function reportOutboundUsage() {
  const items = [
    { tag: 'direct', bytesUp: 5, bytesDown: 6 },
    { tag: 'exit-1', bytesUp: 7, bytesDown: 8 },
    { tag: 'nowhere', bytesUp: 9, bytesDown: 9 },
  ];
  assert.deepEqual(await call('reportOutboundUsage', { items }), { ok: true, rejected: 1 });
  const many = Array.from({ length: 50_001 }, () => ({ tag: 'direct', bytesUp: 1, bytesDown: 1 }));
  assert.match(await fails(grpc.status.INVALID_ARGUMENT, 'reportOutboundUsage', { items: many }), /items/);
  said('ReportOutboundUsage');
}

async function reportNodeStats() {
  const gibibyte = 2 ** 30;
  const system = {
    uptimeSeconds: 60,
    cpuPercent: 3.5,
    cpuCores: 2,
    ramUsed: gibibyte,
    ramTotal: 8 * gibibyte,
    diskUsed: gibibyte,
    diskTotal: 100 * gibibyte,
    netRxPerSec: 0,
    netTxPerSec: 0,
    netRxTotal: 0,
    netTxTotal: 0,
  };
  const mtprotoJson = JSON.stringify({ tg: { running: true } });
  assert.deepEqual(await call('reportNodeStats', { system, xray: { running: true, uptimeSeconds: 5 }, mtprotoJson }), { ok: true });
  assert.deepEqual(await call('reportNodeStats', { system, xray: { running: false, uptimeSeconds: 0 }, mtprotoJson: '' }), { ok: true });
  assert.match(await fails(grpc.status.INVALID_ARGUMENT, 'reportNodeStats', { mtprotoJson: '' }), /system/);
  said('ReportNodeStats');
}

async function reportOnlineUsers() {
  const ips = [
    { ip: '::ffff:203.0.113.7', lastSeen: now() },
    { ip: 'not an address', lastSeen: '' },
    { ip: '2001:db8::7', lastSeen: String(Date.now()) },
  ];
  assert.deepEqual(await call('reportOnlineUsers', { users: [] }), { ok: true });
  assert.deepEqual(await call('reportOnlineUsers', { users: [{ userId: 1, nodeProtocolId: 11, ips }] }), { ok: true });
  const many = Array.from({ length: 50_001 }, (_, userId) => ({ userId, nodeProtocolId: 11, ips: [] }));
  assert.match(await fails(grpc.status.INVALID_ARGUMENT, 'reportOnlineUsers', { users: many }), /users/);
  said('ReportOnlineUsers');
}

async function refusals() {
  const wrong = `${authKey.slice(0, -1)}${authKey.endsWith('0') ? '1' : '0'}`;
  for (const [method, request] of Object.entries(METHODS)) {
    const options = [
      { key: null },
      { key: '' },
      { key: wrong },
      { key: 'secret' },
      { key: null, field: wrong },
      { key: wrong, field: authKey },
    ];
    for (const how of options) {
      await fails(grpc.status.UNAUTHENTICATED, method, request, how);
    }
    said(`${method} refuses a wrong key`);
  }
  const huge = 'x'.repeat(9 << 20);
  try {
    await call('heartbeat', { ip: huge });
    throw new Error('9 MiB were taken');
  } catch (error) {
    assert.ok([grpc.status.OUT_OF_RANGE, grpc.status.RESOURCE_EXHAUSTED].includes(error.code), error.message);
  }
  said('Heartbeat refuses 9 MiB');
}

assert.match(readFileSync(PROTO, 'utf8'), /package nodeservice;/);
try {
  const revision = await getLatestConfig();
  await heartbeat(revision);
  await confirmConfigApplied(revision);
  await reportUsage();
  await reportOutboundUsage();
  await reportNodeStats();
  await reportOnlineUsers();
  await refusals();
} catch (error) {
  console.error(`not ok ${error.stack}`);
  process.exitCode = 1;
} finally {
  client.close();
}
