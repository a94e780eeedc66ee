/** The card of a rollout in the console: what an operator sees, and the buttons. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { behavingModel, call, rolloutOf } from '../helpers/behaving-versions.ts'
import { serve, until } from '../helpers/server.ts'
import { assertAccessible, assertFits, needsBrowser, startBrowser } from './browser.ts'

const options = { skip: needsBrowser(), timeout: 180_000 }

test('an operator watches, pauses, resumes and aborts a rollout', options, async (t) => {
  const folder = behavingModel(t, { 1: { delayMs: 1 }, 2: { delayMs: 1 } })
  const server = await serve(t, [folder], { allowHandlers: true, load: 'none' })
  assert.equal((await call(server, 'PUT', '/1/set-default')).status, 200)
  const plan = { to: '2', steps: [25, 100] }
  assert.equal((await call(server, 'POST', '/rollout', plan)).status, 200)
  const browser = await startBrowser(t)
  const page = await browser.open(`${server.managementUrl}/console#/models/tool`)
  await page.getByRole('heading', { name: 'Rollout of version 2' }).waitFor()
  await page.getByText('25 % of the requests go to version 2, the others to 1.').waitFor()
  await page.getByText('Step 1 of 2 (25, 100 %)').waitFor()
  assert.equal(await page.getByRole('progressbar').getAttribute('aria-valuenow'), '25')
  for (const body of ['a', 'b', 'c'])
    await server.fetch('/predictions/tool/2', { method: 'POST', body })
  await page.getByText('2: 3 requests, 0 failed').waitFor()

  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByText('The rollout of tool is paused.').waitFor()
  assert.equal((await rolloutOf(server)).state, 'paused')
  await page.getByRole('button', { name: 'Resume' }).click()
  await until(async () => (await rolloutOf(server)).state === 'running')
  await page.getByRole('button', { name: 'Pause' }).waitFor()
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await assertAccessible(page, `a rollout, ${colorScheme}`)
  }
  await page.setViewportSize({ width: 360, height: 700 })
  await assertFits(page, 'a rollout on a small screen')

  await page.getByRole('button', { name: 'Abort…' }).click()
  await page.getByRole('button', { name: 'Cancel' }).click()
  assert.equal((await rolloutOf(server)).state, 'running', 'the question alone changes nothing')
  await page.getByRole('button', { name: 'Abort…' }).click()
  await page.getByRole('button', { name: 'Abort', exact: true }).click()
  await page.getByText('The rollout of tool was aborted.').waitFor()
  assert.equal((await rolloutOf(server)).state, 'aborted')
  await page.getByRole('button', { name: 'Pause' }).waitFor({ state: 'detached' })
})
