/**
 * Rules that every schema of the documents follows, so that generated clients work. They also apply
 * to new routes.
 */
import assert from 'node:assert/strict'
import path from 'node:path'
import test from 'node:test'
import { shapeSchema } from '../../src/openapi/tensor-schemas.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { json, serve } from '../helpers/server.ts'

type Schema = Readonly<Record<string, unknown>>

const MAX_INT32 = 2 ** 31 - 1
const MODELS = [path.resolve('examples/iris'), path.resolve('examples/digits')]
/** Fields whose values exceed 32 bits in a server that has run for a while. */
const LARGE = [
  'ns',
  'count',
  'last_inference',
  'inference_count',
  'execution_count',
  'bytes',
  'totalBytes',
]

for (const version of ['3.1.0', '3.0.3']) {
  test(`D4: every schema of version ${version} can be told apart and holds its values`, async (t) => {
    const models = [...MODELS, handlerModel(t, 'words')]
    const server = await serve(t, models, { allowHandlers: true, priorityLevels: 3 })
    const large = new Set<string>()
    for (const ask of [server.fetch, server.manage]) {
      const document = await json(await ask(`/openapi.json?version=${version}`))
      const schemas = asRecord(asRecord(asRecord(document)['components'])['schemas'])
      let count = 0
      walk(document, '#', (schema, place) => {
        count++
        assertRules(schema, place, version, schemas)
        for (const [name, one] of Object.entries(asRecord(schema['properties']))) {
          if (!LARGE.includes(name)) continue
          assert.equal(asRecord(one)['format'], 'int64', `${place}/${name}`)
          large.add(name)
        }
      })
      assert.ok(count > 50, `${count} schemas`)
      assertOperations(asRecord(asRecord(document)['paths']), Object.keys(schemas))
    }
    assert.deepEqual([...large].toSorted(), LARGE.toSorted())
  })
}

test('D4: a priority has the highest level of its model as maximum', async (t) => {
  for (const [levels, maximum] of [
    [3, 3],
    [1, 1000],
  ]) {
    const server = await serve(t, MODELS.slice(0, 1), { priorityLevels: levels })
    const { paths } = asRecord(await json(await server.fetch('/openapi.json')))
    const maxima = ['/predictions/iris', '/v2/models/iris/infer'].map((route) => {
      const { parameters } = asRecord(asRecord(asRecord(paths)[route])['post'])
      assert.ok(Array.isArray(parameters))
      const priority = parameters.map(asRecord).find(({ name }) => name === 'Onnxd-Priority')
      return asRecord(priority?.['schema'])['maximum']
    })
    assert.deepEqual(maxima, [maximum, maximum])
    const headers = { 'onnxd-priority': String((maximum ?? 0) + 1) }
    const body = '[[1,2,3,4]]'
    const answer = await server.fetch('/predictions/iris', { method: 'POST', headers, body })
    assert.equal(answer.status, 400, await answer.text())
  }
})

test('D4: the shape of a tensor has the bounds of its fixed sizes', () => {
  const model = { name: 'fixed', datatype: 'FP32', dimensions: [] }
  const bounds = (shape: number[]) => shapeSchema({ ...model, shape })['items']
  assert.deepEqual(bounds([1, 16]), { type: 'integer', minimum: 1, maximum: 16 })
  assert.deepEqual(bounds([3]), { type: 'integer', minimum: 3, maximum: 3 })
  assert.deepEqual(bounds([-1, 4]), { type: 'integer', minimum: 0 })
  assert.deepEqual(bounds([]), { type: 'integer', minimum: 0 })
})

test('D4: a model is uploaded by a path of its own, whose body is one form', async (t) => {
  const server = await serve(t, [])
  const refused = await server.manage('/models/upload?url=iris', { method: 'POST' })
  assert.equal(refused.status, 400)
  assert.match(await refused.text(), /must be multipart\/form-data/)
  const form = new FormData()
  form.set('model_name', 'sent')
  form.set('batch_size', 'many')
  form.set('model', new Blob(['none']), 'sent.onnx')
  const unchecked = await server.manage('/models/upload', { method: 'POST', body: form })
  assert.equal(unchecked.status, 400)
  assert.match(await unchecked.text(), /batch_size/)
})

function assertRules(schema: Schema, place: string, version: string, schemas: Schema): void {
  const { type, format, items, prefixItems } = schema
  const types: unknown[] = Array.isArray(type) ? type : [type]
  if (types.includes('integer')) {
    assert.match(String(format), /^int(32|64)$/, place)
    const bounds = [schema['minimum'], schema['maximum'], ...asList(schema['enum'])]
    const isSmall = bounds.every(
      (one) => one === undefined || Math.abs(Number(one)) <= MAX_INT32 + 1,
    )
    assert.ok(format === 'int64' || isSmall, place)
  }
  if (types.includes('number')) assert.match(String(format), /^(float|double)$/, place)
  // A list with schemas by place is a list of anything to most generators.
  if (types.includes('array')) assert.ok(items !== undefined, `${place} has no items`)
  assert.equal(prefixItems, undefined, place)
  if (version === '3.1.0') assert.notEqual(schema['additionalProperties'], false, place)
  for (const keyword of ['oneOf', 'anyOf']) {
    const alternatives = asList(schema[keyword]).map((one) => resolved(one, schemas))
    if (alternatives.length > 0)
      assertDistinct(schema, alternatives, `${place}/${keyword}`, schemas)
  }
}

/** Alternatives must have different types, or a required property with different values in each. */
function assertDistinct(
  { discriminator }: Schema,
  alternatives: readonly Schema[],
  place: string,
  schemas: Schema,
): void {
  const types = alternatives.map(({ type }) => type)
  if (new Set(types).size === types.length) return
  const { propertyName, mapping } = asRecord(discriminator)
  assert.ok(typeof propertyName === 'string', `${place} has no discriminator`)
  const values = alternatives.flatMap(({ required, properties }) => {
    assert.ok(asList(required).includes(propertyName), place)
    const { enum: names, pattern } = asRecord(asRecord(properties)[propertyName])
    for (const name of asList(names)) assert.match(String(name), new RegExp(String(pattern), 'u'))
    return asList(names)
  })
  assert.equal(new Set(values).size, values.length, place)
  assert.deepEqual(Object.keys(asRecord(mapping)).toSorted(), values.toSorted(), place)
  for (const [value, $ref] of Object.entries(asRecord(mapping))) {
    const { enum: names } = asRecord(
      asRecord(resolved({ $ref }, schemas)['properties'])[propertyName],
    )
    assert.ok(asList(names).includes(value), `${place}: ${value}`)
  }
}

/** A generator makes one function of an operation, with the body of the first content type. */
function assertOperations(paths: Schema, schemaNames: readonly string[]): void {
  for (const [route, item] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(asRecord(item))) {
      const place = `${method} ${route}`
      const { operationId, parameters, requestBody } = asRecord(operation)
      // Generators name the parameters of an operation so, and give way only to its own body.
      const taken = `${String(operationId)}Request`.toLowerCase()
      const isOwnBody = JSON.stringify(requestBody)?.toLowerCase().includes(`/${taken}"`) ?? false
      const isTaken = schemaNames.some((name) => name.toLowerCase() === taken)
      assert.ok(isOwnBody || !isTaken, `${place}: ${taken}`)
      for (const parameter of asList(parameters).map(asRecord)) {
        const { type, minimum, maximum } = asRecord(parameter['schema'])
        if (type !== 'integer') continue
        assert.ok(
          minimum !== undefined && maximum !== undefined,
          `${place} ${String(parameter['name'])}`,
        )
      }
      const types = Object.keys(asRecord(asRecord(requestBody)['content']))
      const form = asRecord(asRecord(asRecord(requestBody)['content'])['multipart/form-data'])
      const isForm = 'properties' in asRecord(form['schema'])
      if (isForm) assert.equal(types[0], 'multipart/form-data', place)
    }
  }
}

/** Calls `visit` for every schema of a document. */
function walk(value: unknown, place: string, visit: (schema: Schema, place: string) => void): void {
  if (Array.isArray(value)) {
    for (const [index, one] of value.entries()) walk(one, `${place}/${index}`, visit)
    return
  }
  if (typeof value !== 'object' || value === null) return
  const record = asRecord(value)
  // Names of properties may be those of keywords, and examples hold anything.
  const isSchema = !/\/(properties|examples|mapping)$/.test(place)
  if (isSchema && ('type' in record || 'oneOf' in record || 'anyOf' in record)) visit(record, place)
  for (const [key, one] of Object.entries(record)) {
    if (key !== 'examples') walk(one, `${place}/${key}`, visit)
  }
}

function resolved(schema: unknown, schemas: Schema): Schema {
  const { $ref, ...others } = asRecord(schema)
  return typeof $ref === 'string' ? asRecord(schemas[$ref.split('/').at(-1) ?? '']) : others
}

function asRecord(value: unknown): Schema {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}
