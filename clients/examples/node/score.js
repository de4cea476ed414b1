// Scores visitors through a served propensity model, with nothing but gRPC.
//
//   penchant export descriptors --output grpc_service.desc
//   node score.js 127.0.0.1:8001 propensity grpc_service.desc '[{"PageValues": 12.5, "Month": "Nov"}]'
//
// Rows are JSON objects, one a visitor: a column's name and its value; leave out what is missing.

'use strict';

const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const DEADLINE_MS = 2000;

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

// Columns, goals and limits, as the server has them.
async function readContract(call, model) {
  const { config } = await call('ModelConfig', { name: model });
  // Read from a descriptor set, a protobuf map is a list of its entries.
  const entry = config.parameters.find(({ key }) => key === 'contract');
  if (entry === undefined) throw new Error(`${model}: its config has no parameter contract`);
  return JSON.parse(entry.value.string_value);
}

// The text that stands for a category: the table is in clients/README.md.
function categoryText(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return '';
  return String(value);
}

// FP32: 4 bytes each, little endian, row after row. NaN is missing.
function packNumbers(rows, columns) {
  const bytes = Buffer.alloc(4 * rows.length * columns.length);
  rows.forEach((row, r) => columns.forEach((column, c) => {
    bytes.writeFloatLE(Number(row[column] ?? NaN), 4 * (r * columns.length + c));
  }));
  return bytes;
}

// BYTES: the length as 4 bytes, little endian, then the UTF-8. The empty text is missing.
function packTexts(texts) {
  return Buffer.concat(texts.flatMap((text) => {
    const utf8 = Buffer.from(text, 'utf8');
    const length = Buffer.alloc(4);
    length.writeUInt32LE(utf8.length);
    return [length, utf8];
  }));
}

function buildRequest(model, contract, rows) {
  const inputs = [];
  const contents = [];
  const add = (name, datatype, width, bytes) => {
    inputs.push({ name, datatype, shape: [rows.length, width] });
    contents.push(bytes);
  };
  if (contract.numeric.length > 0) {
    add('numeric', 'FP32', contract.numeric.length, packNumbers(rows, contract.numeric));
  }
  if (contract.categorical.length > 0) {
    const texts = rows.flatMap((row) => contract.categorical.map((name) => categoryText(row[name])));
    add('categorical', 'BYTES', contract.categorical.length, packTexts(texts));
  }
  for (const { name, max_values: width, separator = '|' } of contract.multi_valued) {
    const texts = rows.flatMap((row) => {
      const held = row[name] ?? [];
      const all = typeof held === 'string'
        ? held.split(separator).map((text) => text.trim()) : held.map(categoryText);
      // As in training: empty values are left out, and those for which there is no slot.
      const values = all.filter((text) => text !== '').slice(0, width);
      return [...values, ...Array(width - values.length).fill('')];
    });
    add(`multi_${name}`, 'BYTES', width, packTexts(texts));
  }
  return {
    model_name: model,
    inputs,
    raw_input_contents: contents,
    outputs: ['propensity', 'reason', 'base', 'unknown', 'version'].map((name) => ({ name })),
    // How long the request may queue, in microseconds: a part of the deadline.
    parameters: [{ key: 'timeout', value: { int64_param: 0.8 * DEADLINE_MS * 1000 } }],
  };
}

// Outputs come in the server's order: find them by name.
function outputBytes(answer, name) {
  const at = answer.outputs.findIndex((output) => output.name === name);
  if (at < 0) throw new Error(`the answer has no output ${name}`);
  return answer.raw_output_contents[at];
}

function readAnswer(contract, rows, answer) {
  const features = [...contract.numeric, ...contract.categorical,
    ...contract.multi_valued.map((column) => column.name)];
  const goals = contract.goals.length;
  const propensity = outputBytes(answer, 'propensity');
  const reason = outputBytes(answer, 'reason');
  const unknown = outputBytes(answer, 'unknown');
  const version = outputBytes(answer, 'version');
  return rows.map((_, row) => ({
    goals: contract.goals.map((goal, g) => ({
      goal,
      propensity: propensity.readFloatLE(4 * (row * goals + g)),
      reasons: features
        .map((feature, f) => ({
          feature,
          effect: reason.readFloatLE(4 * ((row * goals + g) * features.length + f)),
        }))
        .sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))
        .slice(0, 3),
    })),
    unknown: unknown.readInt32LE(4 * row),
    version: Number(version.readBigInt64LE(8 * row)),
  }));
}

// The deadline is kept here and not by gRPC: cancelled calls can crash Triton 2.51.
function withDeadline(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function main([url, model, descriptorPath, json]) {
  const rows = JSON.parse(json);
  const call = connect(url, descriptorPath);
  const contract = await withDeadline(readContract(call, model));
  const answer = await withDeadline(call('ModelInfer', buildRequest(model, contract, rows)));
  console.log(JSON.stringify(readAnswer(contract, rows, answer), null, 2));
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error) => { console.error(error.message); process.exit(1); });
