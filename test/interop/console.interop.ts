/** The console in a browser: what an operator does with it, and what other pages must not do. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import { freePort } from '../helpers/free-port.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { modelNames, workersOf } from '../helpers/observe.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'
import { assertAccessible, assertFits, needsBrowser, startBrowser } from './browser.ts'
import type { Page } from './browser.ts'

const IRIS = path.resolve('examples/iris')
const IRIS_FILE = path.join(IRIS, 'model.onnx')
const TOKEN = 'a-token-of-this-test'
const VIEWS = ['/', '/models', '/models/iris', '/register', '/cache', '/log', '/settings']
const skip = needsBrowser()
const options = { skip, timeout: 180_000 }

test(
  'an operator uploads a model, scales it, sees a killed worker come back, and unloads it',
  options,
  async (t) => {
    const server = await serve(t, [], { load: 'none' })
    const browser = await startBrowser(t)
    const page = await browser.open(`${server.managementUrl}/`)
    assert.equal(page.url(), `${server.managementUrl}/console`)
    await page.getByRole('link', { name: 'Register a model' }).click()
    await page.locator('input[type=file]').setInputFiles(IRIS_FILE)
    await page.getByLabel('Name').fill('flowers')
    await page.getByRole('button', { name: 'Upload and register' }).click()
    await page.getByRole('link', { name: 'Show models' }).click()
    await page.getByRole('link', { name: 'flowers' }).click()
    await page.getByText('Version 1.0').waitFor()

    await page.getByRole('button', { name: 'Scale…' }).click()
    await page.getByLabel('Number of workers').fill('2')
    await page.getByRole('button', { name: 'Scale', exact: true }).click()
    await page.getByText('flowers now has 2 workers.').waitFor()
    await until(async () => (await workerRows(page)).length === 2)
    assert.equal((await workersOf(server, 'flowers')).length, 2)

    const [first] = await workersOf(server, 'flowers')
    assert.ok(first !== undefined)
    process.kill(first.pid, 'SIGKILL')
    const row = await until(async () => {
      const rows = await workerRows(page)
      return rows.find(
        (cells) => cells[0] === '1' && cells[1] !== String(first.pid) && cells[2] === 'Ready',
      )
    })
    assert.equal(row[7], '1', 'one restart')
    assert.match(row[8] ?? '', /SIGKILL/)

    await page.getByRole('button', { name: 'Unload…' }).click()
    await page.getByRole('button', { name: 'Cancel' }).click()
    assert.deepEqual(await modelNames(server), ['flowers'], 'the question alone changes nothing')
    await page.getByRole('button', { name: 'Unload…' }).click()
    await page.getByRole('button', { name: 'Unload', exact: true }).click()
    await page.getByText('flowers was unloaded.').waitFor()
    assert.deepEqual(await modelNames(server), [])
  },
)

test('a file that is dropped anywhere on the page can be registered', options, async (t) => {
  const server = await serve(t, [IRIS])
  const browser = await startBrowser(t)
  const page = await browser.open(`${server.managementUrl}/console`)
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  await page.evaluate(`{
    const dataTransfer = new DataTransfer()
    dataTransfer.items.add(new File(['no model'], 'wrong.onnx'))
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }))
  }`)
  await page.getByText('wrong.onnx').waitFor()
  await page.getByRole('button', { name: 'Upload and register' }).click()
  const alert = page.getByRole('alert')
  await alert
    .getByText(/not an ONNX model/)
    .first()
    .waitFor()
  assert.deepEqual(await modelNames(server), ['iris'])
})

test('a model that failed is shown with its log lines', options, async (t) => {
  const server = await serve(t, [IRIS, brokenHandler(t)], { allowHandlers: true })
  const browser = await startBrowser(t)
  const page = await browser.open(`${server.managementUrl}/console`)
  await page.getByText('1 model could not be loaded.').waitFor()
  await page.getByRole('link', { name: 'Show why' }).click()
  const failures = page.locator('.failed-list')
  await failures
    .getByText(/vocab\.txt has 12 tokens/)
    .first()
    .waitFor()
  assert.match(await failures.innerText(), /The vocabulary does not fit/)
})

test(
  'without the token the console shows nothing, and the token is in no URL',
  options,
  async (t) => {
    const server = await serve(t, [IRIS], { managementToken: TOKEN })
    const browser = await startBrowser(t)
    const page = await browser.open(`${server.managementUrl}/console`)
    const token = page.getByLabel('Token')
    await token.fill('another-token')
    await token.press('Enter')
    await page.getByText('The server rejected this token.').waitFor()
    assert.equal(await page.getByText('iris').count(), 0)
    await assertAccessible(page, 'the login')

    await token.fill(TOKEN)
    await token.press('Enter')
    await page.getByRole('link', { name: 'iris' }).waitFor()
    assert.doesNotMatch(page.url(), new RegExp(TOKEN))
    assert.equal(await page.evaluate('document.cookie'), '')
    await page.reload()
    await page.getByRole('link', { name: 'iris' }).waitFor()
    const other = await browser.open(`${server.managementUrl}/console`)
    await other.getByLabel('Token').waitFor()

    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByLabel('Token').waitFor()
    assert.equal(await page.evaluate('sessionStorage.length'), 0)
  },
)

test(
  'a page of another origin can neither read the console nor change a model',
  options,
  async (t) => {
    const attacker = createServer((_request, response) => {
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>other</title>')
    }).listen(0, '127.0.0.1')
    await once(attacker, 'listening')
    t.after(() => attacker.close())
    const url = `http://127.0.0.1:${String((attacker.address() as AddressInfo).port)}/`
    const browser = await startBrowser(t)
    for (const settings of [{}, { managementToken: TOKEN }]) {
      const server = await serve(t, [IRIS], {
        ...settings,
        modelStore: path.dirname(IRIS),
        load: 'none',
      })
      const page = await browser.open(url)
      for (const [what, request] of attacks(server.managementUrl)) {
        const outcome = await page.evaluate<string>(
          `(async () => (await (${request})).text())().then((text) => 'read ' + text, () => 'hidden')`,
        )
        assert.match(outcome, /^(?:hidden|read )$/, what)
      }
      await page.evaluate(`{
      const form = document.createElement('form')
      Object.assign(form, { method: 'post', action: '${server.managementUrl}/models?url=digits' })
      document.body.append(form)
      form.submit()
    }`)
      await page.waitForFunction('location.pathname === "/models"')
      const headers = { authorization: `Bearer ${TOKEN}` }
      const list = (await json(await server.manage('/models', { headers }))) as {
        models: { modelName: string }[]
      }
      assert.deepEqual(
        list.models.map(({ modelName }) => modelName),
        ['iris'],
      )
      await page.close()
    }
  },
)

test(
  'every view fits its window and has no accessibility problem, light and dark',
  options,
  async (t) => {
    const server = await serve(t, [IRIS, brokenHandler(t)], { allowHandlers: true })
    await server.fetch('/predictions/iris', { method: 'POST', body: '[[1,2,3,4]]' })
    const browser = await startBrowser(t)
    for (const [colorScheme, width] of [
      ['light', 1280],
      ['dark', 390],
    ] as const) {
      const page = await browser.open(`${server.managementUrl}/console`, { width, colorScheme })
      for (const view of VIEWS) {
        const what = `${view}, ${colorScheme}, ${String(width)} pixels`
        await show(page, view)
        await assertFits(page, what)
        await assertAccessible(page, what)
      }
      await show(page, '/models/iris')
      await page.getByRole('button', { name: 'Unload…' }).click()
      await assertAccessible(page, `a dialog, ${colorScheme}`)
      await page.close()
    }
  },
)

test('the theme follows the system until the reader chooses one', options, async (t) => {
  const server = await serve(t, [IRIS])
  const browser = await startBrowser(t)
  const page = await browser.open(`${server.managementUrl}/console`, { colorScheme: 'dark' })
  const background = (): Promise<string> =>
    page.evaluate('getComputedStyle(document.documentElement).backgroundColor')
  const dark = await background()
  await page.getByRole('button', { name: /^Theme: as the system/ }).click()
  const light = await background()
  assert.notEqual(light, dark)
  await page.reload()
  await page.getByRole('button', { name: /^Theme: light/ }).waitFor()
  assert.equal(await background(), light, 'the browser remembers the choice')
})

test('a model can be scaled with the keyboard alone', options, async (t) => {
  const server = await serve(t, [IRIS])
  const browser = await startBrowser(t)
  const page = await browser.open(`${server.managementUrl}/console`)
  await page.getByRole('link', { name: 'iris' }).waitFor()
  await tabTo(page, 'Skip to the content')
  await page.keyboard.press('Enter')
  await tabTo(page, 'iris')
  await page.keyboard.press('Enter')
  await until(
    async () => (await focused(page)) === 'iris' && (await page.title()).startsWith('iris'),
  )
  await tabTo(page, 'Scale…')
  await page.keyboard.press('Enter')
  await page.getByLabel('Number of workers').waitFor()
  await page.keyboard.press('Escape')
  // The focus is back at the button.
  await until(async () => (await focused(page)) === 'Scale…')
  await page.keyboard.press('Enter')
  // What is typed before the field has the focus is lost.
  await page.getByLabel('Number of workers').waitFor()
  await until(async () => (await page.evaluate('document.activeElement?.tagName')) === 'INPUT')
  await page.keyboard.type('2')
  await page.keyboard.press('Enter')
  await page.getByText(/^iris now has \d+ workers\.$/).waitFor()
  const count = (await workersOf(server, 'iris')).length
  assert.ok(count >= 2, `${String(count)} workers`)
})

test(
  'with more models than the page follows, each can be opened by its name',
  options,
  async (t) => {
    const modelStore = temporaryFolder(t)
    for (let number = 0; number < 510; number += 1)
      copyFileSync(
        IRIS_FILE,
        path.join(modelStore, `model-${String(number).padStart(3, '0')}.onnx`),
      )
    const server = await serve(t, [], { modelStore, load: 'on-demand' })
    const browser = await startBrowser(t)
    const page = await browser.open(`${server.managementUrl}/console#/models`)
    await page.getByText(/The list has 500 of 510 versions/).waitFor()
    await page.getByLabel('Name contains').fill('model-509')
    await page.getByLabel('Name contains').press('Enter')
    await page.getByText('The model is not among those that this page follows').waitFor()
    await page.getByText('Not in memory').waitFor()
    await page.getByRole('button', { name: 'Unload…' }).click()
    await page.getByRole('button', { name: 'Unload', exact: true }).click()
    await page.getByText('model-509 was unloaded.').waitFor()
    await page.getByText(/The list has 500 of 509 versions/).waitFor()
  },
)

test(
  'the console says that the server is gone, and continues with the next one',
  options,
  async (t) => {
    const ports = { port: await freePort(), managementPort: await freePort() }
    const first = await serve(t, [IRIS], ports)
    const browser = await startBrowser(t)
    const page = await browser.open(`${first.managementUrl}/console`)
    await page.getByRole('link', { name: 'iris' }).waitFor()
    await first.close()
    await page.getByText(/Connection lost/).waitFor()
    await page.getByText('Not connected').waitFor()
    await serve(t, [], { ...ports, load: 'none' })
    await page.getByText('No model is registered.').waitFor()
    assert.equal(await page.getByText(/Connection lost/).count(), 0)
  },
)

/** Requests of a page that the browser sends without asking the server first, or tries to. */
function attacks(managementUrl: string): [what: string, request: string][] {
  const request = (route: string, init: object): string =>
    `fetch('${managementUrl}${route}', ${JSON.stringify(init)})`
  const type = { 'content-type': 'application/x-www-form-urlencoded' }
  return [
    ['events', request('/console/events', {})],
    ['events without CORS', request('/console/events', { mode: 'no-cors' })],
    ['settings', request('/console/settings', {})],
    [
      'register with a form',
      request('/models', { method: 'POST', mode: 'no-cors', headers: type, body: 'url=digits' }),
    ],
    ['register in the query', request('/models?url=digits', { method: 'POST', mode: 'no-cors' })],
    ['unregister', request('/models/iris', { method: 'DELETE' })],
    ['scale', request('/models/iris?min_worker=0', { method: 'PUT' })],
  ]
}

/** A model whose worker writes why it cannot start. */
function brokenHandler(t: Cleanup): string {
  const folder = handlerModel(t, 'sentiment')
  const code = `console.error('vocab.txt has 12 tokens')
throw new Error('The vocabulary does not fit')
export function handle() {}
`
  writeFileSync(path.join(folder, 'service.mjs'), code)
  return folder
}

/** The texts of the cells of the table of workers. */
async function workerRows(page: Page): Promise<string[][]> {
  const rows = await page
    .getByRole('region', { name: 'Workers' })
    .locator('tbody tr')
    .allInnerTexts()
  return rows.map((row) => row.split(/\s*\t\s*/).map((cell) => cell.trim()))
}

/** Goes to a view and waits for its content. */
async function show(page: Page, view: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(view)}`)
  const title = view.split('/').at(-1) ?? ''
  const heading = { level: 1, name: new RegExp(`^${title}`, 'i') }
  await page.getByRole('heading', heading).waitFor()
  // The last part of these views comes with a request of its own.
  const late = { '/models/iris': 'features', '/settings': 'lenientParameters' }[view]
  if (late !== undefined) await page.getByText(late).first().waitFor()
}

/** Presses the Tab key until the control with this text has the focus. */
async function tabTo(page: Page, text: string): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press('Tab')
    if ((await focused(page)) === text) return
  }
  assert.fail(`the Tab key does not reach "${text}"`)
}

function focused(page: Page): Promise<string> {
  return page.evaluate('document.activeElement?.textContent ?? ""')
}
