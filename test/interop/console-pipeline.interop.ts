/** The page of a pipeline in the console: its steps, and what is missing. */
import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { writePipeline } from '../helpers/pipelines.ts'
import { serve, temporaryFolder } from '../helpers/server.ts'
import { assertAccessible, assertFits, needsBrowser, startBrowser } from './browser.ts'

const STEPS = [
  { model: 'iris', inputs: { features: 'flower' }, outputs: { probabilities: 'first' } },
  { model: 'later', inputs: { features: 'flower' }, outputs: { probabilities: 'second' } },
]

test(
  'the steps of a pipeline are shown with their problems, until these are gone',
  { skip: needsBrowser() },
  async (t) => {
    const folder = temporaryFolder(t)
    cpSync(path.resolve('examples/iris'), path.join(folder, 'iris'), { recursive: true })
    writePipeline(folder, 'both', STEPS)
    const server = await serve(
      t,
      ['iris', 'both'].map((name) => path.join(folder, name)),
      {
        allowLocalPaths: true,
      },
    )
    const browser = await startBrowser(t)
    const page = await browser.open(`${server.managementUrl}/console#/models/both`)
    await page.getByText('Step 2 (model later): Model not found: later').waitFor()
    const steps = page.getByRole('region', { name: 'Steps of the pipeline' })
    const text = (await steps.innerText()).replaceAll(/\s+/g, ' ')
    assert.match(text, /1 iris Ready flower \(features\) first \(probabilities\)/)
    assert.match(text, /2 later – flower \(features\) second \(probabilities\)/)
    await assertAccessible(page, 'the page of a pipeline with a problem')

    const url = `/models?model_name=later&initial_workers=1&url=${encodeURIComponent(path.join(folder, 'iris'))}`
    assert.equal((await server.manage(url, { method: 'POST' })).status, 200)
    await page.getByRole('region', { name: 'Inputs and outputs' }).getByText('second').waitFor()
    assert.equal(await page.getByText('Model not found').count(), 0)
    await page.setViewportSize({ width: 390, height: 800 })
    await assertFits(page, 'the page of a pipeline')
    await assertAccessible(page, 'the page of a pipeline')
  },
)
