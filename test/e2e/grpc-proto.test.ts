/** The definition of a model in protobuf, with a call that works as it is. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { GrpcTestClient } from '../helpers/grpc.ts'
import type { Message } from '../helpers/grpc.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { modelPath } from '../helpers/onnx-model.ts'
import { iris } from '../helpers/server-process.ts'
import { serve } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const CALL = /^\/\/ grpcurl -plaintext -d '(.*)' (localhost:\d+) (\S+)$/m

test('the page of each model has a call that the gRPC listener accepts', async (t) => {
  const names = ['identity_fp32', 'simple', 'simple_string', 'identity_bool', 'identity_uint64']
  const server = await sharedServer([iris, ...names.map((name) => modelPath(name))], {
    grpcPort: 0,
  })
  const client = new GrpcTestClient(t, server.grpcAddress)
  const { models } = (await (await server.fetch('/v2/models')).json()) as { models: string[] }
  assert.equal(models.length, names.length + 1)
  for (const model of models) {
    const response = await server.fetch(`/v2/models/${model}/proto`)
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('content-type'), 'text/plain; charset=utf-8')
    const text = await response.text()
    assert.ok(text.endsWith(readFileSync('openapi/grpc/inference.proto', 'utf8')))
    const [, message = '', , method] = CALL.exec(text) ?? []
    assert.equal(method, 'inference.GRPCInferenceService/ModelInfer')
    const request = JSON.parse(message) as Message
    const answer = await client.ask('ModelInfer', request)
    assert.equal(answer['model_name'], model)
    assert.ok((answer['outputs'] as unknown[]).length > 0)
  }
})

test('the page names the tensors, the version of its path, and why there is no call', async (t) => {
  const server = await serve(t, [iris, handlerModel(t, 'tool', {}), modelPath('identity_fp16')], {
    allowHandlers: true,
  })
  const page = async (path: string) => (await server.fetch(`/v2/models/${path}/proto`)).text()
  const text = await page('iris/versions/1.0')
  assert.match(text, /^\/\/ Model iris, version 1\.0\n\/\/ input {2}features: FP32 \[-1, 4\]\n/)
  assert.match(text, /"model_version":"1\.0"/)
  assert.match(text, /This server has no gRPC listener; start it with --grpc-port 8001\./)
  assert.match(await page('tool'), /^\/\/ Custom handlers cannot be called over gRPC; use HTTP\.$/m)
  assert.match(await page('identity_fp16'), /^\/\/ Send the elements in raw_input_contents/m)
  const missing = await server.fetch('/v2/models/nothing/proto')
  assert.equal(missing.status, 404)
  assert.match(await missing.text(), /Request for unknown model/)
})
