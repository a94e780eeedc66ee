/** The own encoder and schemas against the `.proto` files, read by protobufjs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describedFiles } from '../../../../src/routes/grpc/messages/described-files.ts'
import { encodeMessage } from '../../../../src/routes/grpc/messages/encode.ts'
import type { Field, Schema } from '../../../../src/routes/grpc/messages/encode.ts'
import {
  HEALTH,
  LIVE,
  MODEL_CONFIG_RESPONSE,
  MODEL_METADATA,
  READY,
  REFLECTION,
  REPOSITORY_INDEX,
  SERVER_METADATA,
  STATISTICS_RESPONSE,
} from '../../../../src/routes/grpc/messages/schemas.ts'
import { objectOf, protoFile } from '../../../helpers/grpc.ts'
import type { Message } from '../../../helpers/grpc.ts'

const MESSAGES: readonly [file: string, type: string, schema: Schema][] = [
  ['inference', 'ServerLiveResponse', LIVE],
  ['inference', 'ServerReadyResponse', READY],
  ['inference', 'ModelReadyResponse', READY],
  ['inference', 'ServerMetadataResponse', SERVER_METADATA],
  ['inference', 'ModelMetadataResponse', MODEL_METADATA],
  ['inference', 'ModelConfigResponse', MODEL_CONFIG_RESPONSE],
  ['inference', 'ModelStatisticsResponse', STATISTICS_RESPONSE],
  ['inference', 'RepositoryIndexResponse', REPOSITORY_INDEX],
  ['health', 'HealthCheckResponse', HEALTH],
  ['reflection-v1', 'ServerReflectionResponse', REFLECTION],
  ['reflection-v1alpha', 'ServerReflectionResponse', REFLECTION],
]

test('every field of every response has the number and the type of its .proto file', () => {
  for (const [file, type, schema] of MESSAGES) {
    const value = exampleOf(schema)
    const bytes = encodeMessage(schema, value)
    const read = objectOf(protoFile(file).lookupType(type), bytes)
    assert.deepEqual(withoutDefaults(read), texts(value), `${file} ${type}`)
  }
})

test('default values take no bytes, and members without a field are left out', () => {
  assert.equal(encodeMessage(READY, { ready: false }).length, 0)
  assert.equal(encodeMessage(SERVER_METADATA, { name: '', other: 1, extensions: [] }).length, 0)
})

test('the compiled files describe every message with full names', async () => {
  const files = await describedFiles()
  assert.deepEqual(
    files.map(({ service }) => service),
    [
      'grpc.health.v1.Health',
      'inference.GRPCInferenceService',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ],
  )
  for (const { name, symbols, service } of files) {
    for (const symbol of symbols) {
      const found = protoFile(name.replace('.proto', '')).lookup(symbol)
      assert.ok(found !== null, `${name}: ${symbol}`)
    }
    assert.ok(symbols.includes(service))
  }
})

/** An object with a value other than the default in every field, but one of each oneof. */
function exampleOf(schema: Schema): Message {
  const names = Object.keys(schema)
  // Of the fields of a oneof the last one counts: those of the other ones would be lost.
  const lost = ['latest', 'all', 'file_descriptor_response', 'list_services_response']
  const kept = names.filter((name) => !lost.includes(name))
  return Object.fromEntries(kept.map((name, index) => [name, valueOf(schema[name], index)]))
}

function valueOf(field: Field | undefined, index: number): unknown {
  const [, type, rule] = field ?? [0, 'string']
  const one = (): unknown => {
    if (typeof type === 'object') {
      return 'message' in type ? exampleOf(type.message) : Object.keys(type.values).at(-1)
    }
    if (type === 'bool') return true
    if (type === 'string') return `text ${index}`
    return type === 'bytes' ? Buffer.from([index]) : 1000 + index
  }
  if (rule === 'map') return { first: one() }
  return rule === 'repeated' ? [one(), one()] : one()
}

/** 64-bit numbers are read as texts, so all numbers are compared as texts. */
function texts(value: unknown): unknown {
  if (typeof value === 'number') return String(value)
  if (Buffer.isBuffer(value)) return value.toString('hex')
  if (Array.isArray(value)) return value.map(texts)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, texts(one)]))
}

function withoutDefaults(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return texts(value)
  if (Array.isArray(value)) return value.map(withoutDefaults)
  const isDefault = (one: unknown): boolean =>
    one === '' || one === 0 || one === '0' || one === false || one === null || isEmpty(one)
  // protobufjs adds the name of the chosen field for each oneof.
  const isChoice = (name: string): boolean => /^(?:policy_choice|message_response)$/.test(name)
  const entries = Object.entries(value).filter(([name, one]) => !isDefault(one) && !isChoice(name))
  return Object.fromEntries(entries.map(([name, one]) => [name, withoutDefaults(one)]))
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}
