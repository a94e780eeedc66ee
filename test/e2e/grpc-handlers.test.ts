/** Handlers over gRPC: image files, texts, and custom handlers, which read no messages. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { status } from '@grpc/grpc-js'
import { GrpcTestClient } from '../helpers/grpc.ts'
import type { Message } from '../helpers/grpc.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { binaryElements } from '../helpers/infer.ts'
import { json, serve } from '../helpers/server.ts'
import { tinyTextModels } from '../helpers/text-models.ts'

const DIGITS = path.resolve('examples/digits')
const SAMPLE = readFileSync(path.join(DIGITS, 'samples', '7.png'))

test('an image model takes files as BYTES, and a custom handler is UNIMPLEMENTED', async (t) => {
  const models = [DIGITS, handlerModel(t, 'tool')]
  const server = await serve(t, models, { grpcPort: 0, allowHandlers: true })
  const client = new GrpcTestClient(t, server.grpcAddress)
  const { inputs } = await client.ask('ModelMetadata', { name: 'digits' })
  const [{ name }] = inputs as [Message]
  const input = { name, datatype: 'BYTES', shape: [1] }
  const data = [SAMPLE.toString('base64')]
  const answer = await server.fetch('/v2/models/digits/infer', {
    method: 'POST',
    body: JSON.stringify({ inputs: [{ ...input, data }] }),
  })
  const rest = (await json(answer)) as { outputs: { data: number[] }[] }
  const wanted = Buffer.from(new Float32Array(rest.outputs[0]?.data ?? []).buffer)
  const raw = { inputs: [input], raw_input_contents: [binaryElements([SAMPLE])] }
  const typed = { inputs: [{ ...input, contents: { bytes_contents: [SAMPLE] } }] }
  for (const fields of [raw, typed]) {
    const response = await client.ask('ModelInfer', { model_name: 'digits', ...fields })
    assert.deepEqual((response['raw_output_contents'] as Buffer[])[0], wanted)
  }
  const wrong = { inputs: [input], raw_input_contents: [binaryElements([Buffer.from('none')])] }
  const error = await client.fail('ModelInfer', { model_name: 'digits', ...wrong })
  assert.equal(error.code, status.INVALID_ARGUMENT)

  const refused = await client.fail('ModelInfer', { model_name: 'tool' })
  assert.equal(refused.code, status.UNIMPLEMENTED)
  assert.match(refused.details, /custom handler, which does not read messages of gRPC/)
})

test('a text model takes strings, and has the results of REST', async (t) => {
  const server = await serve(t, tinyTextModels(t, ['embed', 'classify']), { grpcPort: 0 })
  const client = new GrpcTestClient(t, server.grpcAddress)
  const texts = ['the cat sat', 'a dog']
  const input = { name: 'text', datatype: 'BYTES', shape: [2] }
  const rest = async (model: string): Promise<Message[]> => {
    const body = JSON.stringify({ inputs: [{ ...input, data: texts }] })
    const answer = await server.fetch(`/v2/models/${model}/infer`, { method: 'POST', body })
    return ((await json(answer)) as { outputs: Message[] }).outputs
  }
  const raw = [binaryElements(texts.map((text) => Buffer.from(text)))]
  const typed = { ...input, contents: { bytes_contents: texts.map((text) => Buffer.from(text)) } }
  const [vectors] = await rest('embed')
  for (const fields of [{ inputs: [input], raw_input_contents: raw }, { inputs: [typed] }]) {
    const response = await client.ask('ModelInfer', { model_name: 'embed', ...fields })
    const [bytes] = response['raw_output_contents'] as [Buffer]
    const wanted = Float32Array.from(vectors?.['data'] as number[])
    assert.deepEqual(bytes, Buffer.from(wanted.buffer))
  }
  const one = { inputs: [typed], outputs: [{ name: 'score' }] }
  const scores = await client.ask('ModelInfer', { model_name: 'classify', ...one })
  assert.deepEqual(
    (scores['outputs'] as Message[]).map(({ name }) => name),
    ['score'],
  )
  const wrong = { inputs: [{ ...typed, name: 'words' }] }
  const error = await client.fail('ModelInfer', { model_name: 'embed', ...wrong })
  assert.equal(error.code, status.INVALID_ARGUMENT)
  assert.match(error.details, /Unknown input "words"/)
})
