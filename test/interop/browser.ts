/**
 * Opens pages of the server in Chromium of the system, as a user does, and checks them. Each page
 * fails its test if it breaks its Content Security Policy or throws.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { TestContext } from 'node:test'

const TOOLS = path.resolve('test/interop/browser-tools')
const CHROMIUM = process.env['ONNXD_INTEROP_CHROMIUM'] ?? '/usr/bin/chromium'
/** A test must not reach other hosts, and a container has no sandbox for the browser. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const TIMEOUT_MS = 20_000

/** One or several elements of a page, found each time that they are used. */
export interface Locator {
  click(): Promise<void>
  fill(text: string): Promise<void>
  press(key: string): Promise<void>
  focus(): Promise<void>
  check(): Promise<void>
  selectOption(value: string): Promise<unknown>
  setInputFiles(files: string | readonly string[]): Promise<void>
  waitFor(options?: { readonly state?: 'visible' | 'hidden' | 'detached' }): Promise<void>
  textContent(): Promise<string | null>
  innerText(): Promise<string>
  allInnerTexts(): Promise<string[]>
  inputValue(): Promise<string>
  getAttribute(name: string): Promise<string | null>
  isVisible(): Promise<boolean>
  isEnabled(): Promise<boolean>
  count(): Promise<number>
  first(): Locator
  nth(index: number): Locator
  filter(options: { readonly hasText?: string | RegExp }): Locator
  getByRole(role: string, options?: NameOptions): Locator
  getByText(text: string | RegExp): Locator
  getByLabel(text: string | RegExp): Locator
  locator(selector: string): Locator
  screenshot(options: { readonly path: string }): Promise<unknown>
}

interface NameOptions {
  readonly name?: string | RegExp
  readonly exact?: boolean
}

/** A page, with the part of Playwright's interface that the tests use. */
export interface Page extends Pick<Locator, 'getByRole' | 'getByText' | 'getByLabel' | 'locator'> {
  goto(url: string): Promise<unknown>
  reload(): Promise<unknown>
  url(): string
  title(): Promise<string>
  close(): Promise<void>
  /** Runs code in the page: an expression, or a function that the page gets as its source. */
  evaluate<T>(code: string): Promise<T>
  waitForFunction(code: string): Promise<unknown>
  setViewportSize(size: { readonly width: number; readonly height: number }): Promise<void>
  emulateMedia(media: { readonly colorScheme: 'light' | 'dark' }): Promise<void>
  screenshot(options: { readonly path: string; readonly fullPage?: boolean }): Promise<unknown>
  readonly keyboard: { press(key: string): Promise<void>; type(text: string): Promise<void> }
  on(event: 'console', listener: (message: { text(): string }) => void): void
  on(event: 'pageerror', listener: (error: Error) => void): void
}

/** Options of a new page. */
export interface PageOptions {
  readonly width?: number
  readonly height?: number
  readonly colorScheme?: 'light' | 'dark'
}

interface Browser {
  newPage(options: object): Promise<Page & { setDefaultTimeout(ms: number): void }>
  close(): Promise<void>
}

/** A running browser. */
export interface TestBrowser {
  /** Opens a page with a session of its own. */
  open(url: string, options?: PageOptions): Promise<Page>
}

/** For `test(name, { skip: needsBrowser() }, …)`: why there can be no browser. */
export function needsBrowser(): string | false {
  const { status } = spawnSync(CHROMIUM, ['--version'], { stdio: 'ignore', timeout: 60_000 })
  if (status !== 0) return `needs Chromium at ${CHROMIUM}`
  return installTools() ? false : 'needs the npm registry once, for playwright-core and axe-core'
}

/** Starts the browser. It is closed after the test, which fails if a page had a problem. */
export async function startBrowser(t: Pick<TestContext, 'after'>): Promise<TestBrowser> {
  const { chromium } = createRequire(path.join(TOOLS, 'package.json'))('playwright-core') as {
    chromium: { launch(options: object): Promise<Browser> }
  }
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS })
  const problems: string[] = []
  t.after(async () => {
    await browser.close()
    assert.deepEqual(problems, [], 'problems of the pages')
  })
  return {
    async open(url, { width = 1280, height = 900, colorScheme = 'light' } = {}) {
      const page = await browser.newPage({ viewport: { width, height }, colorScheme })
      page.setDefaultTimeout(TIMEOUT_MS)
      page.on('pageerror', (error) => problems.push(error.message))
      page.on('console', (message) => {
        if (/Content Security Policy/i.test(message.text())) problems.push(message.text())
      })
      await page.goto(url)
      return page
    },
  }
}

/** Fails if axe-core finds that the page breaks rules of WCAG 2.1 A and AA, or good practice. */
export async function assertAccessible(page: Page, what: string): Promise<void> {
  await page.evaluate(readFileSync(path.join(TOOLS, 'node_modules/axe-core/axe.min.js'), 'utf8'))
  const problems = await page.evaluate<string[]>(`
    axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
      violations.flatMap(({ id, help, nodes }) =>
        nodes.map(({ target, failureSummary }) => [id, help, target.join(' '), failureSummary].join(' | '))))
  `)
  assert.deepEqual(problems, [], `accessibility of ${what}`)
}

/** Fails if the page is wider than its window. */
export async function assertFits(page: Page, what: string): Promise<void> {
  const excess = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
  assert.ok(excess <= 0, `${what} is ${String(excess)} pixels too wide`)
}

function installTools(): boolean {
  if (existsSync(path.join(TOOLS, 'node_modules', '.package-lock.json'))) return true
  const npm = process.env['npm_execpath']
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund']
  const options = { cwd: TOOLS, timeout: 120_000 } as const
  const { status } = npm?.endsWith('npm-cli.js')
    ? spawnSync(process.execPath, [npm, ...args], options)
    : spawnSync('npm', args, options)
  return status === 0
}
