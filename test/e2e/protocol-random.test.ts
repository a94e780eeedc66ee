/**
 * Random requests of every datatype and form over HTTP. No request may cause a 5xx status or end a
 * worker.
 */
import assert from 'node:assert/strict'
import { Agent, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { checkForms, checkMutations } from '../helpers/infer-properties.ts'
import type { InferAnswer, InferRequest, Send } from '../helpers/infer.ts'
import { workersOf } from '../helpers/observe.ts'
import { modelPath } from '../helpers/onnx-model.ts'
import { ownExamples } from '../helpers/own-models.ts'
import { randomNumbers } from '../helpers/random.ts'
import { serve } from '../helpers/server.ts'

/** Another one in each run; ONNXD_TEST_SEED repeats a run that failed. */
const seed = Number(process.env['ONNXD_TEST_SEED'] ?? Date.now() % 2 ** 31)

const ROUTES: Readonly<Record<InferRequest['route'], (model: string) => string>> = {
  predictions: (model) => `/predictions/${model}`,
  v1: (model) => `/v1/models/${model}:predict`,
  v2: (model) => `/v2/models/${model}/infer`,
}

/** Sends over connections that are kept, and with exactly the headers that are asked for. */
function httpSend(t: TestContext, url: string): Send {
  const agent = new Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const { host, hostname, port } = new URL(url)
  return async (model, { route, contentType, headers, body }): Promise<InferAnswer> => {
    const own = contentType === '' ? headers : [...headers, ['Content-Type', contentType] as const]
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const lines = [
        ...own,
        ['Host', host] as const,
        ['Content-Length', String(body.length)] as const,
      ].flat()
      const sent = request(
        { agent, hostname, port, method: 'POST', path: ROUTES[route](model), headers: lines },
        resolve,
      )
      sent.on('error', reject).end(body)
    })
    const seen = Object.entries(answer.headers).map(
      ([name, value]) => [name, String(value)] as const,
    )
    return { status: answer.statusCode ?? 0, headers: new Map(seen), body: await buffer(answer) }
  }
}

test(
  `over HTTP a tensor gives the same bytes in all forms, and damaged requests get a 4xx (ONNXD_TEST_SEED=${seed})`,
  { timeout: 120_000 },
  async (t) => {
    const models = ownExamples()
      .map(([name]) => name)
      .filter((name) => /^(identity_|simple_identity$)/.test(name))
    const server = await serve(
      t,
      models.map((name) => modelPath(name)),
      { threads: 1, accessLog: false },
    )
    const send = httpSend(t, server.inferenceUrl)
    await checkForms(send, randomNumbers(seed), 5)
    await checkMutations(send, randomNumbers(seed + 1), 600)
    await checkForms(send, randomNumbers(seed + 2), 1)
    const workers = await Promise.all(models.map((model) => workersOf(server, model)))
    assert.deepEqual(new Set(workers.flat().map(({ restarts }) => restarts)), new Set([0]))
    assert.ok(models.length >= 13)
  },
)
