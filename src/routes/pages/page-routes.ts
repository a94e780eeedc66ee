/** Pages for browsers from `src/pages`. A page loads files of this server only, and none inline. */
import { readPageFile } from '../../package-files.ts'
import type { App } from '../route-context.ts'

/** A page: where it is, and the name of its files in `dist/pages`. */
export interface Page {
  /** Path of the page, without a trailing slash. */
  readonly path: string
  readonly name: 'console' | 'playground'
  readonly title: string
}

/** Scripts and styles come from files of this server. `blob:` and `data:` are for shown images. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** URLs are relative, so that the page works behind any path prefix of a proxy. */
const htmlOf = ({ path, name, title }: Page): string => {
  const folder = path.split('/').at(-1) ?? ''
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${folder}/${name}.css">
</head>
<body>
<div id="page"></div>
<noscript>This page needs JavaScript.</noscript>
<script src="${folder}/${name}.js"></script>
</body>
</html>
`
}

const schema = { hide: true }
/** A page has no data of this server. */
const config = { access: 'page' } as const

/** Adds a page and the files that it loads. */
export function pageRoutes(app: App, page: Page): void {
  const html = htmlOf(page)
  app.get(page.path, { schema, config }, async (request, reply) => {
    const [path = ''] = request.url.split('?')
    // After a trailing slash the relative URLs would be wrong.
    if (path.endsWith('/')) return reply.redirect(`..${page.path}`, 308)
    return reply
      .header('content-security-policy', CONTENT_SECURITY_POLICY)
      .header('referrer-policy', 'no-referrer')
      .type('text/html; charset=utf-8')
      .send(html)
  })
  for (const [suffix, type] of [
    ['js', 'text/javascript; charset=utf-8'],
    ['css', 'text/css; charset=utf-8'],
  ] as const) {
    app.get(`${page.path}/${page.name}.${suffix}`, { schema, config }, async (_request, reply) =>
      reply.type(type).send(await readPageFile(`${page.name}.${suffix}`)),
    )
  }
}
