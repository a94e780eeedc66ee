/** Workers times threads against the cores: what is counted, and when the operator is told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cpuBudget, overdrawnText } from '../../src/command/cpu-budget.ts'

const model = (workers: number, threads: number) => ({
  name: 'm',
  settings: { workers, threads },
})

test('the threads of all workers of all models are added up', () => {
  const budget = cpuBudget([model(2, 3), model(1, 4), model(0, 8)], 16)
  assert.deepEqual(budget, { cores: 16, workers: 3, threads: 10 })
  assert.equal(overdrawnText(budget), undefined)
})

test('workers of models that load on demand do not count, because most of them do not run', () => {
  const onDemand = { name: 'm', settings: { workers: 2, threads: 2, loadsOnDemand: true } }
  assert.deepEqual(cpuBudget([onDemand, model(1, 1)], 2), { cores: 2, workers: 1, threads: 1 })
})

test('as many threads as cores are fine; one more is told with what to change', () => {
  assert.equal(overdrawnText(cpuBudget([model(2, 2)], 4)), undefined)
  const text = overdrawnText(cpuBudget([model(1, 2), model(1, 2)], 2)) ?? ''
  assert.match(text, /^2 workers have 4 threads for 2 cores\./)
  assert.match(text, /--threads 1/)
})
