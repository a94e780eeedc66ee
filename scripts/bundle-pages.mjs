/**
 * Writes the pages for browsers: for each page one script with its libraries, and one style sheet.
 * The server sends these files; a page loads nothing from other hosts.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const SOURCES = path.join(ROOT, 'src', 'pages')

const SHARED = ['shared/base.css', 'shared/components.css', 'shared/widgets.css']
const UPLOT = '../../node_modules/uplot/dist/uPlot.min.css'
/** For each page, the style sheets in their order. Its script begins at `main.tsx`. */
const PAGES = {
  console: [UPLOT, ...SHARED, 'console/page.css', 'console/views.css'],
  playground: [
    ...SHARED,
    'playground/page.css',
    'playground/form/form.css',
    'playground/view/response.css',
  ],
}

/**
 * Writes `pages/NAME.js` and `pages/NAME.css` into the folder.
 * @returns the paths of the modules and style sheets in them.
 */
export async function writePages(folder) {
  // The tests of the build have a small program without pages.
  if (!existsSync(SOURCES)) return []
  const target = path.join(folder, 'pages')
  mkdirSync(target, { recursive: true })
  const files = []
  for (const [name, styles] of Object.entries(PAGES)) {
    const bundle = await rolldown({
      cwd: ROOT,
      platform: 'browser',
      tsconfig: path.join(SOURCES, 'tsconfig.json'),
      input: { [name]: path.join(SOURCES, name, 'main.tsx') },
      onLog: (level, log, report) => report(level === 'warn' ? 'error' : level, log),
    })
    const { output } = await bundle.write({ dir: target, minify: true, format: 'iife' })
    await bundle.close()
    const sheets = styles.map((style) => path.join(SOURCES, style))
    const css = sheets.map((sheet) => readFileSync(sheet, 'utf8')).join('\n')
    writeFileSync(path.join(target, `${name}.css`), css)
    files.push(...output.flatMap((chunk) => chunk.moduleIds ?? []), ...sheets)
  }
  return files
}
