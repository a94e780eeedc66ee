import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PipelineSettings } from '../../../src/model-folder/pipeline-settings.ts'
import { PIPELINE_HANDLER } from '../../../src/model-folder/pipeline.ts'
import { missingStep } from '../../../src/models/pipelines/missing-step.ts'
import type { StepVersion } from '../../../src/models/pipelines/step-facts.ts'

type Models = Readonly<Record<string, readonly string[] | boolean>>

/** A pipeline with these models as its steps. */
function chain(...models: readonly string[]): PipelineSettings {
  const steps = models.map((model, at) => ({
    model,
    inputs: { x: `t${at}` },
    outputs: { y: `t${at + 1}` },
  }))
  return { steps }
}

/** @param models The steps of a pipeline; for another model, whether it has a worker. */
function source(models: Models, seen: string[] = []) {
  const versions = new Map(
    Object.entries(models).map(([name, about]): [string, StepVersion] => {
      const isPipeline = typeof about !== 'boolean'
      const settings = isPipeline ? { pipeline: chain(...about) } : {}
      const handler = isPipeline ? PIPELINE_HANDLER : 'onnx'
      const prepared = { name, handler, settings, hasCode: isPipeline }
      const hasWorker = isPipeline || about
      return [name, { prepared, metadata: undefined, hasWorker, learnMetadata: async () => {} }]
    }),
  )
  return {
    get(name: string): StepVersion {
      seen.push(name)
      const found = versions.get(name)
      if (found === undefined) throw new Error(`Model not found: ${name}`)
      return found
    },
  }
}

const missing = (models: Models, ...steps: readonly string[]): string | undefined =>
  missingStep(
    { name: 'own', handler: PIPELINE_HANDLER, settings: { pipeline: chain(...steps) } },
    source(models),
  )

test('the first step that cannot serve is named', () => {
  assert.equal(missing({ a: true, b: true }, 'a', 'b'), undefined)
  assert.equal(missing({ a: true }, 'a', 'b'), 'Step 2 (model b): Model not found: b')
  assert.equal(
    missing({ a: false, b: false }, 'a', 'b'),
    'Step 1 (model a): No worker of the model is ready.',
  )
})

test('the steps of a step count too, and a circle is never ready', () => {
  const inner = { inner: ['a', 'b'], a: true }
  const text = 'Step 1 (model inner): Step 2 (model b): Model not found: b'
  assert.equal(missing(inner, 'inner', 'a'), text)
  assert.equal(missing({ ...inner, b: true }, 'inner', 'a'), undefined)
  assert.match(
    missing({ back: ['own'] }, 'back') ?? '',
    /^Models call one another in a circle: own/,
  )
})

test('pipelines that share steps are looked at once', () => {
  const depth = 40
  const models = Object.fromEntries(
    Array.from({ length: depth }, (_, level) => [
      `p${level}`,
      level === depth - 1 ? true : [`p${level + 1}`, `p${level + 1}`],
    ]),
  )
  const seen: string[] = []
  const own = { name: 'own', handler: PIPELINE_HANDLER, settings: { pipeline: chain('p0', 'p0') } }
  assert.equal(missingStep(own, source(models, seen)), undefined)
  assert.ok(seen.length < 10 * depth, `${seen.length} looks`)
})

test('other models have no steps', () => {
  assert.equal(missingStep({ name: 'm', handler: 'onnx', settings: {} }, source({})), undefined)
})
