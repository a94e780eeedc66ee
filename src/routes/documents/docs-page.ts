/** The page `/docs`: Swagger UI over `/openapi.json`. It loads files from this server only. */
import { readSwaggerUi } from '../../package-files.ts'
import type { App } from '../route-context.ts'

/** Files of Swagger UI that the page loads. */
const ASSETS = [
  ['swagger-ui.css', 'text/css; charset=utf-8'],
  ['swagger-ui-bundle.js', 'text/javascript; charset=utf-8'],
] as const

/** URLs are relative, so that the page works behind any path prefix of a proxy. */
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>onnxd</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<p style="margin: 12px 20px 0; font: 15px sans-serif"><a href="playground">Try the models in the playground</a></p>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`
/** Schemas are shown where they are used. The list of all schemas at the end stays collapsed. */
const START = `SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#page',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
})
`
/**
 * Allows resources of this server only. Inline styles are allowed because Swagger UI sets them on
 * elements.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const options = { schema: { hide: true }, config: { access: 'open' } } as const

/** Adds `/docs` and the files that the page loads. */
export function docsPageRoutes(app: App): void {
  app.get('/docs', options, async (request, reply) => {
    const [path = ''] = request.url.split('?')
    // After a trailing slash the relative URLs would be wrong.
    if (path.endsWith('/')) return reply.redirect('../docs', 308)
    return reply
      .header('content-security-policy', CONTENT_SECURITY_POLICY)
      .type('text/html; charset=utf-8')
      .send(PAGE)
  })
  app.get('/docs/start.js', options, async (_request, reply) =>
    reply.type('text/javascript; charset=utf-8').send(START),
  )
  for (const [name, type] of ASSETS) {
    app.get(`/docs/${name}`, options, async (_request, reply) =>
      reply
        .header('cache-control', 'max-age=3600')
        .removeHeader('pragma')
        .removeHeader('expires')
        .type(type)
        .send(await readSwaggerUi(name)),
    )
  }
}
