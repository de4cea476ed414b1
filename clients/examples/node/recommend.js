// Says what visitors want next, through a served journey model, with nothing but gRPC.
//
//   penchant export descriptors --output grpc_service.desc
//   node recommend.js 127.0.0.1:8001 journey grpc_service.desc \
//     '[{"events": [{"item": "coat-1", "action": "view", "channel": "web", "age_s": 20}]}]' 10
//
// Visitors are JSON objects: their events in any order, each with an age in seconds or a time in
// seconds since 1970; and, if wanted, exclude (items), allow (categories) and target_action.

'use strict';

const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const DEADLINE_MS = 2000;
const HOURS = 168;
const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

// The service, from the descriptor set: no .proto files, no generated code.
function connect(url, descriptorPath) {
  const definition = protoLoader.loadFileDescriptorSetFromBuffer(
    fs.readFileSync(descriptorPath), { longs: String, defaults: true });
  const { inference } = grpc.loadPackageDefinition(definition);
  const client = new inference.GRPCInferenceService(url, grpc.credentials.createInsecure());
  return (method, request) => new Promise((resolve, reject) => {
    client[method](request, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

// Actions, channels, lengths and limits, as the server has them.
async function readContract(call, model) {
  const { config } = await call('ModelConfig', { name: model });
  // Read from a descriptor set, a protobuf map is a list of its entries.
  const entry = config.parameters.find(({ key }) => key === 'contract');
  if (entry === undefined) throw new Error(`${model}: its config has no parameter contract`);
  const contract = JSON.parse(entry.value.string_value);
  if (contract.kind !== 'journey') throw new Error(`${model}: is a ${contract.kind} model`);
  return contract;
}

// An action or a channel travels as its place in the contract's list plus 1; 0 is none.
function code(names, name, what) {
  if (name === undefined || name === null || name === '') return 0;
  const at = names.indexOf(name);
  if (at < 0) throw new Error(`${what}: the model knows no ${name}, only ${names.join(', ')}`);
  return at + 1;
}

// What is longer than a tensor's row is a mistake: an item to leave out is never dropped silently.
function padded(values, width, nothing, what) {
  if (values.length > width) throw new Error(`${what}: at most ${width}, got ${values.length}`);
  return [...values, ...Array(width - values.length).fill(nothing)];
}

// An item id as the wire has it, which is as it is in the data: text, or an integer. A number holds
// integers up to 2^53 exactly; larger ones are given as their digits, or as BigInt.
function itemId(id, contract, what) {
  const isText = contract.item_dtype === 'BYTES';
  if (id === undefined || id === null || id === '') return isText ? '' : -1;
  const shown = typeof id === 'bigint' ? String(id) : JSON.stringify(id);
  if (isText) {
    if (typeof id === 'string') return id;
    throw new Error(`${what}: the model's items are text, got ${shown}`);
  }
  if (Number.isInteger(id) && !Number.isSafeInteger(id)) {
    throw new Error(`${what}: ${shown} is more than a number holds; give its digits as text`);
  }
  const isWhole = Number.isInteger(id) || typeof id === 'bigint'
    || (typeof id === 'string' && /^-?(0|[1-9][0-9]*)$/.test(id));
  if (!isWhole || BigInt.asIntN(64, BigInt(id)) !== BigInt(id)) {
    throw new Error(`${what}: the model's items are integers, got ${shown}`);
  }
  return id;
}

// Items to leave out; one that is missing is a mistake, for it would be answered.
function excluded(ids, contract) {
  if (!Array.isArray(ids)) throw new Error(`exclude: expected a list, got ${JSON.stringify(ids)}`);
  return ids.map((id) => {
    if (id === undefined || id === null || id === '') throw new Error('exclude: an id is missing');
    return itemId(id, contract, 'exclude');
  });
}

// Seconds before now; NaN, which counts as now, where the event has no time.
function ageOf(event, nowS) {
  if (event.time != null && event.age_s != null) {
    throw new Error('time, age_s: an event has one of them, got both');
  }
  const given = event.age_s ?? event.time;
  if (given == null) return NaN;
  if (typeof given !== 'number') {
    throw new Error(`time, age_s: expected seconds as a number, got ${JSON.stringify(given)}`);
  }
  return event.age_s == null ? nowS - given : given;
}

// The newest events, oldest first, padded in front.
function newest(visitor, contract, nowS) {
  const events = (visitor.events ?? []).map((event) => ({
    item: itemId(event.item, contract, 'item'),
    action: code(contract.actions, event.action ?? (contract.actions.length === 1
      ? contract.actions[0] : undefined), 'action'),
    channel: contract.channels.length > 0 ? code(contract.channels, event.channel, 'channel') : 0,
    age: ageOf(event, nowS),
  }));
  if (events.some((event) => event.action === 0)) throw new Error('action: every event needs one');
  // An age that is no finite number counts as 0, here as in the model. Sorting is stable.
  const order = (event) => (Number.isFinite(event.age) ? -event.age : 0);
  const kept = events.sort((a, b) => order(a) - order(b)).slice(-contract.length);
  const padding = { item: itemId(null, contract), action: 0, channel: 0, age: 0 };
  return [...Array(contract.length - kept.length).fill(padding), ...kept];
}

// Hours since Monday 00:00 in the model's zone.
function hourOfWeek(nowS, timeZone) {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone, weekday: 'short', hour: '2-digit', hourCycle: 'h23',
  }).formatToParts(new Date(nowS * 1000));
  const part = (type) => parts.find((each) => each.type === type).value;
  return 24 * DAYS.indexOf(part('weekday')) + Number(part('hour'));
}

const packers = {
  FP32: (values) => packFixed(values, 4, (bytes, value, at) => bytes.writeFloatLE(value, at)),
  INT32: (values) => packFixed(values, 4, (bytes, value, at) => bytes.writeInt32LE(value, at)),
  INT64: (values) => packFixed(values, 8,
    (bytes, value, at) => bytes.writeBigInt64LE(BigInt(value), at)),
  // The length as 4 bytes, little endian, then the UTF-8.
  BYTES: (values) => Buffer.concat(values.flatMap((text) => {
    const utf8 = Buffer.from(String(text), 'utf8');
    const length = Buffer.alloc(4);
    length.writeUInt32LE(utf8.length);
    return [length, utf8];
  })),
};

function packFixed(values, size, write) {
  const bytes = Buffer.alloc(size * values.length);
  values.forEach((value, at) => write(bytes, value, size * at));
  return bytes;
}

const WANTED = ['next_item', 'score', 'count', 'intent', 'intent_score', 'channel_score',
  'hour_score', 'purchase', 'unknown', 'version'];

// Outputs that this model has: not those of what its log did not have.
function wantedOutputs(contract) {
  const has = {
    intent: contract.num_intents > 0,
    intent_score: contract.num_intents > 0,
    channel_score: contract.channels.length > 0,
    hour_score: contract.has_hours,
    purchase: contract.has_purchase,
  };
  return WANTED.filter((name) => has[name] !== false);
}

function buildRequest(model, contract, visitors, nowS) {
  const inputs = [];
  const contents = [];
  const add = (name, datatype, width, values) => {
    inputs.push({ name, datatype, shape: [visitors.length, width] });
    contents.push(packers[datatype](values));
  };
  const events = visitors.flatMap((visitor) => newest(visitor, contract, nowS));
  add('item', contract.item_dtype, contract.length, events.map(({ item }) => item));
  add('action', 'INT32', contract.length, events.map(({ action }) => action));
  if (contract.channels.length > 0) {
    add('channel', 'INT32', contract.length, events.map(({ channel }) => channel));
  }
  add('age_s', 'FP32', contract.length, events.map(({ age }) => age));
  add('hour', 'FP32', 1, visitors.map(() => hourOfWeek(nowS, contract.timezone)));
  add('target_action', 'INT32', 1, visitors.map((visitor) => code(
    contract.actions, visitor.target_action, 'target_action')));
  add('exclude', contract.item_dtype, contract.max_exclude, visitors.flatMap((visitor) => padded(
    [...new Set(excluded(visitor.exclude ?? [], contract))], contract.max_exclude,
    itemId(null, contract), 'exclude')));
  if (contract.num_intents > 0) {
    add('allow', 'BYTES', contract.max_allow, visitors.flatMap((visitor) => padded(
      [...new Set(visitor.allow ?? [])], contract.max_allow, '', 'allow')));
  }
  return {
    model_name: model,
    inputs,
    raw_input_contents: contents,
    outputs: wantedOutputs(contract).map((name) => ({ name })),
    // How long the request may queue, in microseconds: a part of the deadline.
    parameters: [{ key: 'timeout', value: { int64_param: 0.8 * DEADLINE_MS * 1000 } }],
  };
}

const readers = {
  FP32: (bytes, count) => Array.from({ length: count }, (_, at) => bytes.readFloatLE(4 * at)),
  INT32: (bytes, count) => Array.from({ length: count }, (_, at) => bytes.readInt32LE(4 * at)),
  INT64: (bytes, count) => Array.from(
    { length: count }, (_, at) => exact(bytes.readBigInt64LE(8 * at))),
  BYTES: (bytes, count) => {
    let at = 0;
    return Array.from({ length: count }, () => {
      const start = at + 4;
      at = start + bytes.readUInt32LE(at);
      return bytes.toString('utf8', start, at);
    });
  },
};

// A number where JavaScript can hold it; else its digits, for a rounded id is another item's.
function exact(integer) {
  const number = Number(integer);
  return Number.isSafeInteger(number) ? number : String(integer);
}

// A visitor's row of an output. Outputs come in the server's order: find them by name.
function rowReader(answer) {
  const values = Object.fromEntries(answer.outputs.map(({ name, datatype, shape }, at) => {
    const width = Number(shape[1]);
    const all = readers[datatype](answer.raw_output_contents[at], Number(shape[0]) * width);
    return [name, (row) => all.slice(row * width, (row + 1) * width)];
  }));
  return (name, row) => (values[name] === undefined ? [] : values[name](row));
}

const best = (names, scores) => names
  .map((name, at) => ({ name, score: scores[at] }))
  .sort((a, b) => b.score - a.score);

function readAnswer(contract, visitors, answer, k) {
  const read = rowReader(answer);
  const hours = Array.from({ length: HOURS }, (_, hour) => (
    `${DAYS[Math.floor(hour / 24)]} ${String(hour % 24).padStart(2, '0')}:00`));
  return visitors.map((_, row) => {
    // From `count` on there are no more items.
    const count = Math.min(k, read('count', row)[0]);
    const scores = read('score', row);
    return {
      items: read('next_item', row).slice(0, count).map((item, at) => (
        { item, score: scores[at] })),
      intents: best(read('intent', row), read('intent_score', row)).filter(({ name }) => name),
      channels: best(contract.channels, read('channel_score', row)),
      hours: contract.has_hours === false ? [] : best(hours, read('hour_score', row)).slice(0, 3),
      purchase: read('purchase', row)[0],
      unknown: read('unknown', row)[0],
      version: read('version', row)[0],
    };
  });
}

// The deadline is kept here and not by gRPC: cancelled calls can crash Triton 2.51.
function withDeadline(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function main([url, model, descriptorPath, json, items = '10', now = undefined]) {
  const visitors = JSON.parse(json);
  const nowS = now === undefined ? Date.now() / 1000 : Number(now);
  const call = connect(url, descriptorPath);
  const contract = await withDeadline(readContract(call, model));
  const k = Number(items);
  if (!(k >= 1 && k <= contract.num_items)) {
    throw new Error(`items: expected 1 to ${contract.num_items}, got ${items}`);
  }
  const request = buildRequest(model, contract, visitors, nowS);
  const answer = await withDeadline(call('ModelInfer', request));
  console.log(JSON.stringify(readAnswer(contract, visitors, answer, k), null, 2));
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error) => { console.error(error.message); process.exit(1); });
