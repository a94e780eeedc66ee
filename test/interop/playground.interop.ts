/** The page `/playground` in a browser, and the code that it shows in programs of others. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { after, test } from 'node:test'
import { ownModels } from '../helpers/own-models.ts'
import { temporaryFolder } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'
import { tinyTextModels } from '../helpers/text-models.ts'
import { visionModels } from '../helpers/vision-models.ts'
import { assertAccessible, assertFits, needsBrowser, startBrowser } from './browser.ts'
import type { Page, PageOptions, TestBrowser } from './browser.ts'

const SAMPLE = path.resolve('examples/digits/samples/7.png')
const FLOWERS = `sepal_length,sepal_width,petal_length,petal_width
5.1,3.5,1.4,0.2
6.2,2.9,4.3,1.3
7.7,2.6,6.9,2.3
`
const TOKEN = 'a-token-of-this-test'

const cleanups: (() => unknown)[] = []
const cleanup: Cleanup = { after: (undo) => cleanups.push(undo as () => unknown) }
after(async () => {
  for (const undo of cleanups.toReversed()) await undo()
})

const skip = needsBrowser()
const options = { skip, timeout: 180_000 }
let models: readonly string[] | undefined
let started: Promise<TestBrowser> | undefined

function server(): Promise<TestServer> {
  models ??= writeModels()
  return sharedServer(models)
}

function writeModels(): string[] {
  const { ssd, segments } = visionModels(temporaryFolder(cleanup))
  return [
    path.resolve('examples/digits'),
    path.resolve('examples/iris'),
    ssd,
    segments,
    path.join(ownModels(), 'identity_fp32'),
    ...tinyTextModels(cleanup, ['tag', 'answer', 'embed']),
  ]
}

async function open(model: string, pageOptions: PageOptions = {}, base?: string): Promise<Page> {
  started ??= startBrowser(cleanup)
  const url = base ?? (await server()).inferenceUrl
  const page = await (await started).open(`${url}/playground#/${model}`, pageOptions)
  await sendButton(page).waitFor()
  return page
}

const sendButton = (page: Page) => page.getByRole('button', { name: 'Send', exact: true })
const result = (page: Page) => page.locator('.result')

/** Sends the request and waits for its response. */
async function send(page: Page, status = '200'): Promise<void> {
  await sendButton(page).click()
  await result(page).locator('.status').filter({ hasText: status }).waitFor()
}

async function choose(page: Page, file: string): Promise<void> {
  await page.locator('input[type=file]').setInputFiles(file)
}

/** Drops a file on an element, as a user does with the pointer. */
async function drop(page: Page, selector: string, file: string): Promise<void> {
  const content = readFileSync(file).toString('base64')
  await page.evaluate(`(() => {
    const bytes = Uint8Array.from(atob('${content}'), (byte) => byte.charCodeAt(0))
    const dataTransfer = new DataTransfer()
    dataTransfer.items.add(new File([bytes], '${path.basename(file)}'))
    const event = new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer })
    document.querySelector('${selector}').dispatchEvent(event)
  })()`)
}

/** Number of pixels of the drawn image that `isRight` accepts. */
async function countPixels(page: Page, isRight: string): Promise<number> {
  await page.locator('.result canvas').waitFor()
  return page.evaluate<number>(`(() => {
    const canvas = document.querySelector('.result canvas')
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    const isRight = ${isRight}
    let count = 0
    for (let at = 0; at < data.length; at += 4) if (isRight(data[at], data[at + 1], data[at + 2])) count += 1
    return count
  })()`)
}

test('an image that is dropped on a classifier gets bars of its classes', options, async () => {
  const page = await open('digits')
  assert.equal(await sendButton(page).isEnabled(), false)
  await drop(page, '.drop-area', SAMPLE)
  await page.locator('img.preview').waitFor()
  await send(page)
  const bars = await result(page).locator('.bars tbody tr').allInnerTexts()
  assert.equal(bars.length, 3)
  assert.match(bars[0] ?? '', /^7\s+0\.99/)
  await page.close()
})

test('an image that is dropped beside the form of a detector gets boxes', options, async () => {
  const page = await open('ssd')
  await drop(page, 'body', SAMPLE)
  await send(page)
  const rows = await result(page).locator('.picture tbody tr').allInnerTexts()
  const { fetch } = await server()
  const response = await fetch('/predictions/ssd', { method: 'POST', body: readFileSync(SAMPLE) })
  const objects = (await response.json()) as { class: string; box: number[] }[]
  assert.deepEqual(
    rows.map((row) => row.split(/\s+/).slice(0, 1).join('')),
    objects.map((object) => object.class),
  )
  const ofBoxes = await countPixels(page, '(r, g, b) => r === 255 && g === 176 && b === 0')
  assert.ok(ofBoxes > 200, `${ofBoxes} pixels have the colour of the boxes`)
  await page.close()
})

test('the areas of a segmentation are drawn on the image', options, async () => {
  const page = await open('segments')
  await choose(page, SAMPLE)
  await send(page)
  assert.match(await result(page).locator('.picture .legend').innerText(), /sky 12\.5 %/)
  const ofSky = await countPixels(page, '(r, g, b) => r > g + 60 && r > b + 60')
  assert.ok(ofSky > 500, `${ofSky} pixels have the colour of the sky`)
  await page.close()
})

test('a CSV file gets a table with a row for each of its rows', options, async (t) => {
  const file = path.join(temporaryFolder(t), 'flowers.csv')
  writeFileSync(file, FLOWERS)
  const page = await open('iris')
  await page.getByRole('tab', { name: 'File' }).click()
  await choose(page, file)
  await page.getByText('5.1,3.5,1.4,0.2').waitFor()
  await send(page)
  const labels = ['setosa', 'versicolor', 'virginica']
  for (const label of labels) {
    await result(page).getByRole('cell', { name: label, exact: true }).waitFor()
  }
  await page.close()
})

test('texts get highlighted spans, an answer, and similarities', options, async () => {
  const page = await open('tag')
  await page.getByLabel('Text').fill('😀 anna lives in paris')
  await send(page)
  const { fetch } = await server()
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ inputs: '😀 anna lives in paris' })
  const response = await fetch('/predictions/tag', { method: 'POST', headers, body })
  const spans = (await response.json()) as { text: string }[]
  assert.ok(spans.length > 0)
  const marks = await page.locator('.span-text mark').allInnerTexts()
  assert.deepEqual(
    marks.map((mark) => mark.replace(/\s*PER$/, '')),
    spans.map(({ text }) => text),
  )
  await page.close()

  const answer = await open('answer')
  await send(answer)
  assert.equal(await answer.locator('.span-text mark').count(), 1)
  await answer.close()

  const embed = await open('embed')
  await send(embed)
  assert.match(await result(embed).innerText(), /8 values/)
  await embed.getByLabel('Task').selectOption('1')
  await send(embed)
  await result(embed).getByText('A cat is on a mat.').waitFor()
  await embed.close()
})

test('a wrong input shows the error of the server', options, async () => {
  const page = await open('iris')
  await page.getByLabel('petal_width').fill('wide')
  await send(page, '400')
  const { fetch } = await server()
  const headers = { 'content-type': 'application/json' }
  const body = '{"features": [[0.5, 0.5, 0.5, "wide"]]}'
  const response = await fetch('/predictions/iris', { method: 'POST', headers, body })
  const { message, type } = (await response.json()) as { message: string; type: string }
  const shown = await page.getByRole('alert').innerText()
  assert.match(shown, new RegExp(type))
  assert.ok(shown.includes(message), shown)
  await page.close()
})

test('the page is accessible and fits, in both themes and on all screens', options, async () => {
  const backgrounds = new Set<string>()
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [390, 1920]) {
      const what = (name: string): string => `${name}, ${colorScheme}, ${width} px`
      const page = await open('iris', { width, colorScheme })
      await assertAccessible(page, what('a form'))
      await send(page)
      for (const name of ['Raw response', 'What the parts mean']) await page.getByText(name).click()
      await assertAccessible(page, what('a response'))
      await assertFits(page, what('a response'))
      await page.getByRole('button', { name: 'Token' }).click()
      await page.locator('dialog input').waitFor()
      await assertAccessible(page, what('the token'))
      backgrounds.add(
        await page.evaluate('getComputedStyle(document.body.parentElement).backgroundColor'),
      )
      await page.close()
      const image = await open('ssd', { width, colorScheme })
      await choose(image, SAMPLE)
      await send(image)
      await assertAccessible(image, what('boxes'))
      await assertFits(image, what('boxes'))
      await image.close()
    }
  }
  assert.equal(backgrounds.size, 2)
})

test('everything can be done with the keyboard', options, async () => {
  const page = await open('iris')
  const focused = (): Promise<string> =>
    page.evaluate(
      'document.activeElement.getAttribute("aria-label") ?? document.activeElement.innerText',
    )
  await page.keyboard.press('Tab')
  assert.equal(await focused(), 'Skip to the model')
  await page.keyboard.press('Enter')
  for (let count = 0; count < 20 && (await focused()) !== 'sepal_length'; count += 1) {
    await page.keyboard.press('Tab')
  }
  assert.equal(await focused(), 'sepal_length')
  await page.keyboard.press('ControlOrMeta+a')
  await page.keyboard.type('7.7')
  await page.keyboard.press('ControlOrMeta+Enter')
  await result(page).locator('.status').filter({ hasText: '200' }).waitFor()
  assert.match(await page.locator('.program').innerText(), /\[\[7\.7, 0\.5/)
  for (let count = 0; count < 20 && (await focused()) !== 'curl'; count += 1) {
    await page.keyboard.press('Tab')
  }
  await page.keyboard.press('ArrowRight')
  assert.equal(await focused(), 'Python')
  assert.match(await page.locator('.program').innerText(), /^import requests/)
  await page.close()
})

test('a response of almost 2 MB does not stop the page', options, async (t) => {
  const file = path.join(temporaryFolder(t), 'numbers.json')
  const numbers = Array.from({ length: 200_000 }, (_, index) => index / 7)
  writeFileSync(file, JSON.stringify({ INPUT0: [numbers] }))
  const page = await open('identity_fp32')
  await page.getByRole('tab', { name: 'File' }).click()
  await choose(page, file)
  await send(page)
  await result(page).getByText('200,000 values').waitFor()
  assert.ok((await result(page).innerText()).length < 20_000)
  await page.getByText('Raw response').click()
  await page
    .locator('.raw')
    .getByRole('button', { name: /^Show all/ })
    .click()
  const text = (await page.locator('.raw pre').textContent()) ?? ''
  assert.ok(text.length > 1_500_000, `${text.length} characters`)
  await page.close()
})

test('a very long text in a field is sent, but cannot be edited', options, async () => {
  const page = await open('identity_fp32')
  await page.getByRole('tab', { name: 'JSON' }).click()
  const numbers = Array.from({ length: 60_000 }, (_, index) => index)
  await page.getByLabel('Body, as JSON').fill(JSON.stringify({ INPUT0: [numbers] }))
  await page.getByText('too long to edit here').waitFor()
  assert.match(await page.locator('.program').innerText(), /@request\.json$/)
  await send(page)
  await result(page).getByText('60,000 values').waitFor()
  await page.getByRole('button', { name: 'Empty the field' }).click()
  assert.equal(await page.getByLabel('Body, as JSON').inputValue(), '')
  await page.close()
})

test('the token is sent in a header, and the page works below any path', options, async (t) => {
  const base = await guarded(t, (await server()).inferenceUrl)
  started ??= startBrowser(cleanup)
  const page = await (await started).open(`${base}/playground#/iris`)
  await page.getByLabel('Token').fill('wrong')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('The server rejected this token.').waitFor()
  await page.getByLabel('Token').fill(TOKEN)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await sendButton(page).waitFor()
  await send(page)
  assert.equal(page.url().includes(TOKEN), false)
  const code = await page.locator('.program').innerText()
  assert.ok(code.includes(`${base}/predictions/iris`), code)
  assert.match(code, /Authorization: Bearer \$API_TOKEN/)
  assert.equal(code.includes(TOKEN), false)
  const folder = temporaryFolder(t)
  const shown = await run('sh', ['-c', code], folder, { API_TOKEN: TOKEN })
  assert.ok('probabilities' in (JSON.parse(shown) as object))
  await page.close()
})

const requestsEnvironment = process.env['ONNXD_INTEROP_PLAYGROUND']
const pythonOf = (folder: string): string => path.join(folder, 'bin', 'python')
const skipPython =
  skip === false && requestsEnvironment === undefined
    ? 'needs Python with requests; run npm run test:interop'
    : skip

test('the shown code sends the same request', { ...options, skip: skipPython }, async (t) => {
  const folder = temporaryFolder(t)
  copyFileSync(SAMPLE, path.join(folder, "it's 7.png"))
  const cases: [model: string, prepare: (page: Page) => Promise<void>][] = [
    ['iris', (page) => page.getByLabel('petal_width').fill('1.8')],
    ['digits', (page) => choose(page, path.join(folder, "it's 7.png"))],
    ['tag', (page) => page.getByLabel('Text').fill(`Anna's "cat" $HOME \`id\` \\ 😀\nnext line`)],
    [
      'iris',
      async (page) => {
        await page.getByRole('tab', { name: 'CSV' }).click()
        await page.getByLabel('Rows, as CSV').fill(FLOWERS)
      },
    ],
  ]
  for (const [model, prepare] of cases) {
    const page = await open(model)
    await prepare(page)
    await send(page)
    await page.getByText('Raw response').click()
    const seen: unknown = JSON.parse((await page.locator('.raw pre').textContent()) ?? '')
    const runs: [tab: string, program: string, args: (code: string) => string[]][] = [
      ['curl', 'sh', (code) => ['-c', code]],
      ['Python', pythonOf(requestsEnvironment ?? ''), (code) => ['-c', code]],
      ['TypeScript', process.execPath, (code) => ['--input-type=module', '-e', code]],
    ]
    for (const [tab, program, args] of runs) {
      await page.getByRole('tab', { name: tab, exact: true }).click()
      const code = await page.locator('.program').innerText()
      const output = await run(program, args(code), folder)
      assert.deepEqual(JSON.parse(output), seen, `${model}\n${code}`)
    }
    await page.close()
  }
})

const triton = process.env['ONNXD_INTEROP_TRITONCLIENT']
const openai = process.env['ONNXD_INTEROP_OPENAI']

test(
  'the shown code for tritonclient and openai gets the same numbers',
  {
    ...options,
    skip:
      skip === false && (triton === undefined || openai === undefined)
        ? 'needs Python with tritonclient and openai; run npm run test:interop'
        : skip,
  },
  async (t) => {
    const folder = temporaryFolder(t)
    const codeOf = async (model: string, tab: string): Promise<string> => {
      const page = await open(model)
      await page.getByRole('tab', { name: tab, exact: true }).click()
      const code = await page.locator('.program').innerText()
      await page.close()
      return code
    }
    const { fetch } = await server()
    const post = async (route: string, body: unknown): Promise<unknown> => {
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(route, { method: 'POST', headers, body: JSON.stringify(body) })
      return response.json()
    }

    const tensors = await run(
      pythonOf(triton ?? ''),
      ['-c', await codeOf('iris', 'tritonclient')],
      folder,
    )
    const [, row = ''] = /^probabilities (.+)$/m.exec(tensors) ?? []
    const { probabilities } = (await post('/predictions/iris', {
      features: [[0.5, 0.5, 0.5, 0.5]],
    })) as { probabilities: number[][] }
    assert.deepEqual(
      (JSON.parse(row) as number[][])[0]?.map(Math.fround),
      probabilities[0]?.map(Math.fround),
    )

    const vectors = await run(
      pythonOf(openai ?? ''),
      ['-c', await codeOf('embed', 'openai')],
      folder,
    )
    const { data } = (await post('/v1/embeddings', {
      model: 'embed',
      input: 'The cat sat on the mat.',
    })) as { data: { embedding: number[] }[] }
    assert.deepEqual(
      (JSON.parse(vectors) as number[]).map(Math.fround),
      data[0]?.embedding.map(Math.fround),
    )
  },
)

/** Runs a program and returns its output. It must exit with code 0. */
async function run(
  program: string,
  args: readonly string[],
  folder: string,
  environment: NodeJS.ProcessEnv = {},
): Promise<string> {
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [output, errors] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  assert.equal(code, 0, errors)
  return output
}

/** A proxy that adds a path prefix, and lets only requests with the token reach the API. */
async function guarded(t: Cleanup, target: string): Promise<string> {
  const proxy = createServer((request, response) => {
    const url = (request.url ?? '').replace(/^\/some\/path/, '')
    const isPage = url.startsWith('/playground')
    if (!isPage && request.headers.authorization !== `Bearer ${TOKEN}`) {
      request.resume()
      response.writeHead(401, { 'content-type': 'application/json' })
      response.end('{"code": 401, "type": "UnauthorizedException", "message": "A token, please."}')
      return
    }
    const { method, headers } = request
    const forwarded = httpRequest(target + url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    request.pipe(forwarded)
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.after(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/some/path`
}
