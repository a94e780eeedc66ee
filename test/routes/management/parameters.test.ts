/** Each parameter of the management routes means the same in each place where it may stand. */
import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { parse } from 'node:querystring'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { KindGuard } from '@sinclair/typebox'
import type { TObject, TSchema } from '@sinclair/typebox'
import Fastify from 'fastify'
import type { FastifyRequest } from 'fastify'
import { completeConfig } from '../../../src/config/config.ts'
import { readBody } from '../../../src/routes/http/body.ts'
import { errorHandling } from '../../../src/routes/http/error-handler.ts'
import { schemaController } from '../../../src/routes/http/schema-compilers.ts'
import { ListQuery } from '../../../src/routes/management/list.ts'
import { takeParameters } from '../../../src/routes/management/parameters.ts'
import {
  DescribeQuery,
  NoQuery,
  ScaleQuery,
  UnregisterQuery,
} from '../../../src/routes/management/queries.ts'
import { RegisterQuery } from '../../../src/routes/management/register-parameters.ts'
import type { RouteContext } from '../../../src/routes/route-context.ts'
import { randomNumbers } from '../../helpers/random.ts'
import { watch } from '../../helpers/watched-app.ts'

const SCHEMAS: Readonly<Record<string, TObject>> = {
  RegisterQuery,
  ScaleQuery,
  UnregisterQuery,
  DescribeQuery,
  ListQuery,
  NoQuery,
}
const SEED = 20_260_501

/** What the handler of a route is given, or why the request is refused. */
interface Outcome {
  readonly status: number
  readonly values: unknown
}

type Send = (init: {
  query?: string
  type?: string
  body?: string | Buffer
  coding?: string
}) => Promise<Outcome>

/** A server whose one route answers with its parameters. */
async function echo(t: TestContext, schema: TObject, lenientParameters = false): Promise<Send> {
  const app = Fastify({
    schemaController,
    routerOptions: { querystringParser: (text) => parse(text) },
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.removeAllContentTypeParsers()
  errorHandling(app)
  watch(app)
  await app.register(multipart)
  app.addContentTypeParser('*', (_request: FastifyRequest, payload: IncomingMessage) =>
    readBody(payload, { maxBytes: 4_000_000 }),
  )
  app.decorateRequest('parameterNotes')
  const config = completeConfig({ lenientParameters })
  app.post(
    '/',
    {
      schema: { querystring: schema },
      preValidation: takeParameters(schema, { config } as RouteContext),
    },
    (request) => ({ values: request.query, notes: request.parameterNotes }),
  )
  t.after(() => app.close())
  return async ({ query = '', type, body, coding }) => {
    const answer = await app.inject({
      method: 'POST',
      url: `/${query}`,
      headers: {
        ...(type !== undefined && { 'content-type': type }),
        ...(coding !== undefined && { 'content-encoding': coding }),
      },
      ...(body !== undefined && { payload: body }),
    })
    const content: { values?: unknown; message?: string } = answer.json()
    return { status: answer.statusCode, values: content.values ?? content.message }
  }
}

/** Every place where a parameter may stand, and how the text is written there. */
function placesOf(
  send: Send,
): Readonly<Record<string, (name: string, text: string) => Promise<Outcome>>> {
  const json = (name: string, literal: string): string => `{ ${JSON.stringify(name)} : ${literal} }`
  const encoded = (name: string, text: string): string =>
    new URLSearchParams([[name, text]]).toString()
  const multipartText = (name: string, text: string): string =>
    `--edge\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${text}\r\n--edge--\r\n`
  const FORM = 'application/x-www-form-urlencoded'
  return {
    query: (name, text) => send({ query: `?${encoded(name, text)}` }),
    form: (name, text) => send({ type: FORM, body: encoded(name, text) }),
    'compressed form': (name, text) =>
      send({ type: FORM, body: gzipSync(encoded(name, text)), coding: 'gzip' }),
    multipart: (name, text) =>
      send({ type: 'multipart/form-data; boundary=edge', body: multipartText(name, text) }),
    'JSON string': (name, text) =>
      send({ type: 'application/json', body: json(name, JSON.stringify(text)) }),
    'compressed JSON': (name, text) =>
      send({
        type: 'Application/JSON; charset=utf-8',
        body: deflateSync(json(name, JSON.stringify(text))),
        coding: 'deflate',
      }),
    // What is a number or a flag in JSON can stand there without quotes.
    'JSON literal': (name, text) =>
      send({
        type: 'application/json',
        body: json(
          name,
          /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e\d+)?|true|false)$/.test(text)
            ? text
            : JSON.stringify(text),
        ),
      }),
  }
}

/** Texts that a schema takes, with their values, and texts that it does not. */
function samplesOf(schema: TSchema): { good: [text: string, value: unknown][]; bad: string[] } {
  if (KindGuard.IsUnion(schema)) {
    const parts = schema.anyOf.map(samplesOf)
    return {
      good: parts.flatMap(({ good }) => good),
      bad: [...new Set(parts.flatMap(({ bad }) => bad))].filter(
        (text) => !schema.anyOf.some((one) => one.const === text),
      ),
    }
  }
  if (KindGuard.IsLiteral(schema))
    return { good: [[String(schema.const), schema.const]], bad: ['soon'] }
  const { minimum, maximum } = schema
  switch (schema.type) {
    case 'boolean':
      return {
        good: [
          ...['true', 'True', 'TRUE', 'tRuE', '1'].map((text): [string, boolean] => [text, true]),
          ...['false', 'False', 'FALSE', '0'].map((text): [string, boolean] => [text, false]),
        ],
        bad: ['perhaps', '2', '-1', 'truee', '1.5'],
      }
    case 'integer':
    case 'number': {
      const least = Number(minimum)
      const most = Number(maximum)
      const random = randomNumbers(SEED)
      const numbers = [least, most, ...Array.from({ length: 3 }, () => random.integer(least, most))]
      const outside = [least - 1, most + 1].map(String)
      const fraction = schema.type === 'integer' ? ['1.5'] : []
      return {
        good: numbers.map((number) => [String(number), number]),
        bad: [
          ...outside,
          ...fraction,
          '1e999',
          '-1e999',
          'Infinity',
          'NaN',
          '0x1',
          '1,0',
          'many',
          'true',
          '1_0',
        ],
      }
    }
    default: {
      const [first]: unknown[] = Array.isArray(schema.enum) ? schema.enum : []
      if (typeof first === 'string') return { good: [[first, first]], bad: ['no', `${first}s`] }
      const text = schema.pattern === undefined ? 'ab_1.0' : 'f'.repeat(64)
      const long = schema.maxLength === undefined ? [] : ['x'.repeat(Number(schema.maxLength) + 1)]
      return {
        good: [[text, text]],
        bad: schema.pattern === undefined ? long : ['no', 'g'.repeat(64)],
      }
    }
  }
}

test('C1, C2, C3, C4: each parameter means the same in query, form, multipart field and JSON', async (t) => {
  t.diagnostic(`seed ${SEED}`)
  for (const [title, schema] of Object.entries(SCHEMAS)) {
    const send = await echo(t, schema)
    const places = placesOf(send)
    const { values: defaults } = await send({})
    for (const [name, one] of Object.entries<TSchema>(schema.properties)) {
      const { good, bad } = samplesOf(one)
      for (const [place, say] of Object.entries(places)) {
        const where = `${title}.${name} in ${place}`
        for (const [text, value] of good) {
          const expected = { ...(defaults as object), [name]: value }
          assert.deepEqual(
            await say(name, text),
            { status: 200, values: expected },
            `${where}: ${text}`,
          )
        }
        for (const text of bad) {
          const { status, values } = await say(name, text)
          assert.equal(status, 400, `${where}: ${text}`)
          assert.match(String(values), new RegExp(`^Parameter ${name} must be `), where)
        }
        // Nothing is as if absent.
        assert.deepEqual(await say(name, ''), { status: 200, values: defaults }, `${where}: empty`)
      }
      for (const body of [`{"${name}":null}`, `{"${name}":""}`, 'null', '{}', '']) {
        const outcome = await send({ type: 'application/json', body })
        assert.deepEqual(outcome, { status: 200, values: defaults }, `${title}.${name}: ${body}`)
      }
      for (const nested of ['[]', '{}', '[1]', '{"a":{}}']) {
        const { status } = await send({ type: 'application/json', body: `{"${name}":${nested}}` })
        assert.equal(status, 400, `${title}.${name}: ${nested}`)
      }
    }
  }
})

test('C3: an unknown parameter is refused wherever it stands, and the closest one is named', async (t) => {
  for (const [title, schema] of Object.entries(SCHEMAS)) {
    const send = await echo(t, schema)
    for (const [place, say] of Object.entries(placesOf(send))) {
      for (const name of Object.keys(schema.properties)) {
        for (const misspelt of [
          name.slice(1),
          `${name}x`,
          name.replaceAll('_', ''),
          name.toUpperCase(),
        ]) {
          if (Object.hasOwn(schema.properties, misspelt)) continue
          const { status, values } = await say(misspelt, '1')
          assert.equal(status, 400, `${title} in ${place}: ${misspelt}`)
          assert.match(
            String(values),
            /^Unknown parameter ".*"\. Did you mean \w+\?$/,
            `${title}: ${misspelt}`,
          )
        }
      }
      for (const name of ['__proto__', 'constructor', 'toString', 'zzzzzzzzz']) {
        assert.equal((await say(name, '1')).status, 400, `${title} in ${place}: ${name}`)
      }
    }
  }
  const suggestions: [schema: TObject, name: string, suggestion: string][] = [
    [RegisterQuery, 'inital_workers', 'initial_workers'],
    [RegisterQuery, 'workers', 'initial_workers'],
    [RegisterQuery, 'batchSize', 'batch_size'],
    [ScaleQuery, 'min_workers', 'min_worker'],
    [ScaleQuery, 'synchronus', 'synchronous'],
    [ListQuery, 'nextPageToken', 'next_page_token'],
  ]
  for (const [schema, name, suggestion] of suggestions) {
    const send = await echo(t, schema)
    const { values } = await send({ query: `?${name}=2` })
    assert.equal(values, `Unknown parameter "${name}". Did you mean ${suggestion}?`)
  }
  const none = await (await echo(t, NoQuery))({ query: '?a=1' })
  assert.equal(none.values, 'Unknown parameter "a". There are none here.')
})

test('C3: with lenientParameters the unknown ones are ignored, the known ones still checked', async (t) => {
  const send = await echo(t, ScaleQuery, true)
  const scaled = await send({ query: '?min_workers=2&min_worker=3' })
  assert.deepEqual(scaled, { status: 200, values: { min_worker: 3, synchronous: false } })
  assert.equal((await send({ query: '?min_workers=2&min_worker=x' })).status, 400)
})

test('C4: the body wins over the query, and one place with two values is refused', async (t) => {
  const send = await echo(t, ScaleQuery)
  const both = await send({
    query: '?min_worker=1&max_worker=9',
    type: 'application/json',
    body: '{"min_worker":2}',
  })
  assert.deepEqual(both.values, { min_worker: 2, max_worker: 9, synchronous: false })
  const empty = await send({
    query: '?min_worker=1',
    type: 'application/x-www-form-urlencoded',
    body: 'min_worker=',
  })
  assert.deepEqual(empty.values, { min_worker: 1, synchronous: false })
  for (const type of ['query', 'application/x-www-form-urlencoded']) {
    const twice = (text: string): Promise<Outcome> =>
      type === 'query' ? send({ query: `?${text}` }) : send({ type, body: text })
    assert.deepEqual(await twice('min_worker=1&min_worker=2'), {
      status: 400,
      values: 'Parameter min_worker occurs twice: "1" and "2".',
    })
    const same = await twice('min_worker=2&synchronous=True&synchronous=1&min_worker=2.0')
    assert.deepEqual(same.values, { min_worker: 2, synchronous: true })
  }
})

test('C4: JSON numbers keep their digits where the parameter is a text', async (t) => {
  const send = await echo(t, RegisterQuery)
  for (const written of ['1.0', '2', '10', '1e2', '12345678901234567890']) {
    const body = `{"model_version": ${written}, "handler": "a\\"},{b:c"}`
    const { values } = await send({ type: 'application/json', body })
    const { model_version: version, handler } = values as Record<string, unknown>
    assert.deepEqual([version, handler], [written, 'a"},{b:c'])
  }
})

test('C4: what cannot be read is refused with the reason, and in bounded memory', async (t) => {
  const send = await echo(t, RegisterQuery)
  const FORM = 'application/x-www-form-urlencoded'
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 'a'))
  const cases: [init: Parameters<Send>[0], status: number, text: RegExp][] = [
    [{ type: FORM, body: 'url=x', coding: 'gzip' }, 400, /not valid gzip data/],
    [{ type: FORM, body: 'url=x', coding: 'br' }, 415, /"br" is not supported; send gzip, deflate/],
    [{ type: FORM, body: bomb, coding: 'gzip' }, 413, /decompressed/],
    [{ type: 'application/json', body: bomb, coding: 'gzip' }, 413, /decompressed/],
    [{ type: 'application/json', body: ' '.repeat(1_100_000) }, 413, /larger than 1 MiB/],
    [
      { type: 'multipart/form-data; boundary=edge', body: 'x', coding: 'gzip' },
      415,
      /uncompressed/,
    ],
    [{ type: 'text/plain', body: '{"url":"x"}' }, 415, /"text\/plain" has no parameters/],
    [{ type: 'application/json', body: '[]' }, 400, /must be a JSON object/],
    [{ type: 'application/json', body: '"url"' }, 400, /must be a JSON object/],
    [{ type: 'application/json', body: '{"url":' }, 400, /not valid JSON/],
    [{ type: 'application/json', body: Buffer.from('{"url":"\xff"}', 'latin1') }, 400, /UTF-8/],
    [{ type: 'application/json', body: '['.repeat(250_000) }, 400, /more than 100 levels/],
    [
      { type: 'application/json', body: `{"url":${'['.repeat(250_000)}${']'.repeat(250_000)}}` },
      400,
      /more than 100 levels/,
    ],
  ]
  for (const [init, status, text] of cases) {
    const outcome = await send(init)
    assert.equal(outcome.status, status, String(outcome.values))
    assert.match(String(outcome.values), text)
  }
})

test('C3: as many names as fit are refused at once, also where they are ignored', async (t) => {
  const many = Array.from({ length: 80_000 }, (_, index) => `"k${index}":1`).join(',')
  const nested = `{"url":{${many}}}`
  const long = `{${JSON.stringify('x'.repeat(500_000))}:1}`
  for (const isLenient of [false, true]) {
    const send = await echo(t, RegisterQuery, isLenient)
    for (const body of [
      `{${many}}`,
      nested,
      long,
      `{"url":${JSON.stringify('\\"'.repeat(200_000))}}`,
    ]) {
      const started = performance.now()
      const { status } = await send({ type: 'application/json', body })
      assert.ok([200, 400].includes(status), String(status))
      assert.ok(performance.now() - started < 5000, body.slice(0, 20))
    }
  }
})
