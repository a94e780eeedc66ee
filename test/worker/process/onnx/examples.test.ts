import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { load, parameter, request } from '../../../helpers/pictures.ts'
import type { TestModel } from '../../../helpers/pictures.ts'

interface Sample {
  readonly file: string
  readonly label: string
  readonly probability: string
}

/** The rows `| sample | class | probability |` of an example's README. */
function samplesOf(folder: string): readonly Sample[] {
  const readme = readFileSync(path.join(folder, 'README.md'), 'utf8')
  const rows = readme.matchAll(/^\| `([\w.]+)` \| (\w+) \| ([\d.]+) \|$/gm)
  return [...rows].map(([, name = '', label = '', probability = '']) => ({
    file: path.join(folder, 'samples', name),
    label,
    probability,
  }))
}

async function post(model: TestModel, file: string, contentType: string): Promise<string> {
  const answer = await model.ask(request(parameter(readFileSync(file), contentType)))
  const text = answer.body.toString()
  assert.equal(answer.status, 200, text)
  return text
}

test('the images of the digits example are recognised as its README says', async (t) => {
  const folder = path.resolve('examples/digits')
  const model = await load(t, folder)
  const samples = samplesOf(folder)
  assert.equal(samples.length, 10)
  for (const { file, label, probability } of samples) {
    const answer: { class: string; index: number; probability: number }[] = JSON.parse(
      await post(model, file, 'image/png'),
    )
    const [best] = answer
    assert.deepEqual([answer.length, best?.class, best?.index], [3, label, Number(label)])
    assert.equal(best?.probability.toFixed(4), probability)
  }
})

test('the flowers of the iris example are recognised as its README says', async (t) => {
  const folder = path.resolve('examples/iris')
  const species = readFileSync(path.join(folder, 'labels.txt'), 'utf8').trim().split('\n')
  const model = await load(t, folder)
  const samples = samplesOf(folder)
  assert.equal(samples.length, species.length)
  const rows: number[][] = []
  for (const [index, { file, label, probability }] of samples.entries()) {
    const answer: { label: string[]; probabilities: number[][] } = JSON.parse(
      await post(model, file, 'application/json'),
    )
    assert.deepEqual([species[index], answer.label], [label, [label]])
    assert.equal(answer.probabilities[0]?.[index]?.toFixed(4), probability)
    rows.push(...answer.probabilities)
  }
  const batch = await post(model, path.join(folder, 'samples/batch.json'), 'application/json')
  assert.deepEqual(JSON.parse(batch), { label: species, probabilities: rows })
  const v2 = await post(model, path.join(folder, 'samples/v2.json'), 'application/json')
  const { outputs }: { outputs: object[] } = JSON.parse(v2)
  assert.deepEqual(outputs, [
    { name: 'label', datatype: 'INT64', shape: [3], data: [0, 1, 2] },
    { name: 'probabilities', datatype: 'FP32', shape: [3, 3], data: rows.flat() },
  ])
})
