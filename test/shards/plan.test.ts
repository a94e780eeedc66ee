/** The steps from the models that a process serves to those that it has to serve. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { NameState, VersionState } from '../../src/shards/desired-state.ts'
import { planOf } from '../../src/shards/plan.ts'
import type { Step } from '../../src/shards/plan.ts'

type Model = Omit<NameState, 'versions'> & { readonly versions: readonly VersionState[] }

const version = (number: string, id: number, limits?: VersionState['limits']): VersionState => ({
  version: number,
  id,
  ...(limits !== undefined && { limits }),
})

/** Makes a step as the registry does, and fails where the registry would. */
function make(models: Map<string, Model>, step: Step): void {
  const { name } = step
  const model = models.get(name) ?? { name, defaultVersion: '', versions: [] }
  const find = (wanted: string): VersionState => {
    const found = model.versions.find((one) => one.version === wanted)
    assert.ok(found, `${name} has version ${wanted}`)
    return found
  }
  switch (step.kind) {
    case 'unregister':
      assert.ok(models.delete(name))
      return
    case 'register': {
      const { version: number, id } = step.version
      assert.ok(
        model.versions.every((one) => one.version !== number),
        'the version is free',
      )
      const first = model.versions.length === 0
      const versions = [...model.versions, version(number, id)]
      models.set(name, { ...model, versions, ...(first && { defaultVersion: number }) })
      return
    }
    case 'reload': {
      assert.ok(models.has(name), 'only a served model is loaded again')
      const versions = step.versions.map((one) => version(one.version, one.id))
      const kept = versions.some((one) => one.version === model.defaultVersion)
      const defaultVersion = kept ? model.defaultVersion : (versions.at(-1)?.version ?? '')
      models.set(name, pruned({ ...model, versions, defaultVersion }))
      return
    }
    case 'unregister version': {
      find(step.version)
      assert.notEqual(model.defaultVersion, step.version, 'the default cannot be removed')
      assert.ok(!usesOf(model).includes(step.version), 'a version with a label cannot be removed')
      const versions = model.versions.filter((one) => one.version !== step.version)
      const { shadow: _shadow, ...rest } = { ...model, versions }
      models.set(name, { ...rest, ...shadowOf({ ...model, versions }) })
      return
    }
    case 'default':
      find(step.version)
      models.set(name, { ...model, defaultVersion: step.version })
      return
    case 'route': {
      const { routing: _old, ...rest } = model
      const { routing } = step
      for (const one of Object.values(routing?.labels ?? {})) find(one)
      models.set(name, routing === undefined ? rest : { ...rest, routing })
      return
    }
    case 'shadow': {
      const { shadow: _old, ...rest } = model
      const { shadow } = step
      if (shadow !== undefined) find(shadow.version)
      models.set(name, shadow === undefined ? rest : { ...rest, shadow })
      return
    }
    case 'scale': {
      const { id, limits } = step.version
      assert.equal(find(step.version.version).id, id)
      const versions = model.versions.map((one) => (one.id === id ? { ...one, limits } : one))
      models.set(name, { ...model, versions })
    }
  }
}

function usesOf({ routing }: Model): string[] {
  return Object.values(routing?.labels ?? {})
}

/** The labels and the shadow of versions that are gone are gone too. */
function pruned(model: Model): Model {
  const { routing, shadow: _shadow, ...others } = model
  const rest = { ...others, ...shadowOf(model) }
  const left = Object.entries(routing?.labels ?? {}).filter(([, label]) =>
    model.versions.some((one) => one.version === label),
  )
  return left.length === 0 ? rest : { ...rest, routing: { labels: Object.fromEntries(left) } }
}

function shadowOf({ shadow, versions }: Model): Pick<Model, 'shadow'> {
  const isServed = versions.some(({ version: one }) => one === shadow?.version)
  return isServed ? { shadow } : {}
}

function applied(
  current: readonly Model[],
  desired: readonly Model[],
  canReload: boolean,
): Model[] {
  const models = new Map(current.map((model) => [model.name, model]))
  for (const steps of planOf(current, desired, () => canReload))
    for (const step of steps) make(models, step)
  return sorted([...models.values()])
}

/** The order of versions does not matter: only the default serves requests without a version. */
function sorted(models: readonly Model[]): Model[] {
  const byName = models.map((model) => ({
    ...model,
    versions: model.versions.toSorted((a, b) => a.id - b.id),
  }))
  return byName.toSorted((a, b) => a.name.localeCompare(b.name))
}

const limits = fc.record(
  { min: fc.nat(3), max: fc.integer({ min: 3, max: 5 }) },
  { noNullPrototype: true },
)

/**
 * States of one server: a registration has one version for ever, and limits that were set are never
 * unset.
 */
const states = fc
  .array(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      versions: fc.uniqueArray(
        fc.record({
          version: fc.constantFrom('1', '2', '3'),
          registration: fc.nat(2),
          limits: fc.option(limits, { nil: undefined }),
        }),
        { selector: ({ version: number }) => number, minLength: 1 },
      ),
      defaultIndex: fc.nat(2),
      labels: fc.dictionary(fc.constantFrom('x', 'y'), fc.nat(2)),
      shadowIndex: fc.option(fc.nat(2), { nil: undefined }),
    }),
    { maxLength: 3 },
  )
  .map((models): Model[] => {
    const byName = new Map(models.map((model) => [model.name, model]))
    return [...byName.values()].map(({ name, versions, defaultIndex, labels, shadowIndex }) => {
      const found = versions.map((one) =>
        version(
          one.version,
          // Each name, version and registration is a number of its own.
          name.charCodeAt(0) * 100 + Number(one.version) * 10 + one.registration,
          one.limits,
        ),
      )
      const at = (index: number): string => found[index % found.length]?.version ?? ''
      const entries = Object.entries(labels).map(([label, index]) => [label, at(index)])
      const routing = { labels: Object.fromEntries(entries) as Record<string, string> }
      return {
        name,
        defaultVersion: at(defaultIndex),
        versions: found,
        ...(entries.length > 0 && { routing }),
        ...(shadowIndex !== undefined && { shadow: { version: at(shadowIndex) } }),
      }
    })
  })

test('the steps of a plan are allowed in their order, and lead to the desired state', () => {
  fc.assert(
    fc.property(states, states, fc.boolean(), (current, desired, canReload) => {
      const limitsOf = new Map(
        current.flatMap(({ versions }) => versions.map((one) => [one.id, one.limits] as const)),
      )
      const possible = desired.map((model) => ({
        ...model,
        versions: model.versions.map((one) =>
          version(one.version, one.id, one.limits ?? limitsOf.get(one.id)),
        ),
      }))
      assert.deepEqual(applied(current, possible, canReload), sorted(possible))
      // A process that serves what it has to serve has nothing to do.
      assert.deepEqual(
        planOf(possible, possible, () => canReload),
        [],
      )
    }),
    { numRuns: 500 },
  )
})

test('a model that is loaded again serves with its old versions until the new ones are ready', () => {
  const current = [{ name: 'a', defaultVersion: '1', versions: [version('1', 1)] }]
  const desired = [{ name: 'a', defaultVersion: '1', versions: [version('1', 2)] }]
  const kinds = planOf(current, desired, () => true).map((steps) => steps.map(({ kind }) => kind))
  assert.deepEqual(kinds, [['reload', 'default']])
})
