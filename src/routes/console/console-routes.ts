import { pageRoutes } from '../pages/page-routes.ts'
/** The console: a page for operators, its live data, and what it shows besides the models. */
import type { App, RouteContext } from '../route-context.ts'
import { EventStreams } from './event-streams.ts'
import { settingsOf } from './settings.ts'
import { ServerSnapshot } from './snapshot.ts'

const PATH = '/console'
const schema = { hide: true }

/** Adds `/console`. Its page and script are public; its data needs the management token. */
export function consoleRoutes(app: App, context: RouteContext): void {
  const { config, serverConfig = config, configOrigins, listWeightCache } = context
  pageRoutes(app, { path: PATH, name: 'console', title: 'onnxd console' })

  const snapshot = new ServerSnapshot(context)
  const streams = new EventStreams(() => snapshot.read(), context, app.log)
  // A response to HEAD would have no end.
  app.get(`${PATH}/events`, { schema, exposeHeadRoute: false }, (request, reply) => {
    streams.open(request, reply)
  })

  app.get(`${PATH}/settings`, { schema }, async (_request, reply) =>
    reply.send({ settings: settingsOf(serverConfig, configOrigins) }),
  )

  app.get(`${PATH}/weight-cache`, { schema }, async (_request, reply) => {
    const cache = await listWeightCache()
    return reply.send(cache === undefined ? { isOn: false } : { isOn: true, ...cache })
  })
}

/** Redirects a browser that opens `/` to the console. Call it before a token is checked. */
export function sendBrowsersToConsole(app: App): void {
  app.addHook('onRequest', (request, reply, done) => {
    const [path] = request.url.split('?', 1)
    const isBrowser = /\btext\/html\b/i.test(request.headers.accept ?? '')
    if (request.method === 'GET' && path === '/' && isBrowser) void reply.redirect('console')
    else done()
  })
}
