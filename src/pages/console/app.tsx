import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Button } from '../shared/components/button.tsx'
import { Login } from '../shared/components/login.tsx'
import { PageHeader } from '../shared/components/page-header.tsx'
import { Status } from '../shared/components/status.tsx'
import type { Live } from './logic/live.ts'
import { VIEWS, viewAddress } from './logic/route.ts'
import type { Route, ViewName } from './logic/route.ts'
import { hasProblem } from './logic/version-facts.ts'
import { client } from './page-state/client.ts'
import { connect, connection, signIn, signOut } from './page-state/connection.ts'
import { isDragging } from './page-state/dropped-file.ts'
import { live } from './page-state/live-data.ts'
import { message } from './page-state/message.ts'
import { isFirstView, route } from './page-state/router.ts'
import { Cache } from './views/cache.tsx'
import { Log } from './views/log.tsx'
import { ModelView } from './views/model.tsx'
import { Models } from './views/models.tsx'
import { Overview } from './views/overview.tsx'
import { Register } from './views/register.tsx'
import { Settings } from './views/settings.tsx'

const TITLES: Readonly<Record<ViewName, string>> = {
  overview: 'Overview',
  models: 'Models',
  register: 'Register a model',
  cache: 'Cache',
  log: 'Log',
  settings: 'Settings',
}
const NAMES: Readonly<Record<ViewName, string>> = { ...TITLES, register: 'Register' }

/** The console. */
export function App(): JSX.Element {
  const now = live.value
  if (connection.value.state === 'signed-out')
    return (
      <>
        <PageHeader title="onnxd console" />
        <Login
          hint="The server's setting managementToken. It stays in this tab only."
          isWrong={client.hasToken}
          onToken={signIn}
        />
      </>
    )
  return (
    <>
      <a
        class="skip-link"
        href="#content"
        onClick={(event) => {
          event.preventDefault()
          document.querySelector<HTMLElement>('#content')?.focus()
        }}
      >
        Skip to the content
      </a>
      <PageHeader title="onnxd console">
        {now !== undefined && <ServerStatus now={now} />}
        {client.hasToken && (
          <span class="push">
            <Button kind="quiet" onClick={signOut}>
              Sign out
            </Button>
          </span>
        )}
      </PageHeader>
      <div class="shell">
        <Navigation now={now} />
        <main id="content" tabIndex={-1}>
          <ConnectionBanner />
          <div role="status" class={message.value === '' ? 'only-read' : 'notice good'}>
            {message.value}
          </div>
          {now === undefined ? (
            <p class="dim">Waiting for the server…</p>
          ) : (
            <View key={keyOf(route.value)} now={now} />
          )}
        </main>
      </div>
      {isDragging.value && <div class="drop-veil">Drop the model file to register it.</div>}
    </>
  )
}

function keyOf(shown: Route): string {
  return shown.view === 'model' ? `model ${shown.name}` : shown.view
}

/** The heading gets the focus when the view changes, so that screen readers read it. */
function View({ now }: { now: Live }): JSX.Element {
  const shown = route.value
  const title = shown.view === 'model' ? shown.name : TITLES[shown.view]
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${title} – onnxd console`
    // Not at the first view: the reader begins at the top of the page.
    if (!isFirstView()) heading.current?.focus()
  }, [title])
  return (
    <div class="view">
      <h1 ref={heading} tabIndex={-1} class="breakable">
        {title}
      </h1>
      <ViewContent shown={shown} now={now} />
    </div>
  )
}

function ViewContent({ shown, now }: { shown: Route; now: Live }): JSX.Element {
  switch (shown.view) {
    case 'overview':
      return <Overview now={now} />
    case 'models':
      return <Models now={now} />
    case 'model':
      return <ModelView now={now} name={shown.name} version={shown.version} />
    case 'register':
      return <Register now={now} />
    case 'cache':
      return <Cache now={now} />
    case 'log':
      return <Log now={now} />
    case 'settings':
      return <Settings />
  }
}

function Navigation({ now }: { now: Live | undefined }): JSX.Element {
  const { view } = route.value
  const current = view === 'model' ? 'models' : view
  const list = useRef<HTMLUListElement>(null)
  useEffect(() => {
    // On a small screen the list scrolls.
    list.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' })
  }, [current])
  const problems = (now?.versions.filter(hasProblem).length ?? 0) + (now?.failed.length ?? 0)
  return (
    <nav class="side" aria-label="Views">
      <ul ref={list}>
        {VIEWS.map((name) => (
          <li key={name}>
            <a href={viewAddress(name)} aria-current={name === current ? 'page' : undefined}>
              {NAMES[name]}
              {name === 'models' && problems > 0 && (
                <span class="badge">
                  {problems}
                  <span class="only-read"> with a problem</span>
                </span>
              )}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  )
}

const SERVER_STATES = {
  READY: ['Running', 'good'],
  STARTING: ['Starting', 'info'],
  STOPPING: ['Stopping', 'warning'],
} as const

function ServerStatus({ now: { server } }: { now: Live }): JSX.Element {
  const isLost = connection.value.state === 'lost'
  const [text, tone] = isLost ? (['Not connected', 'bad'] as const) : SERVER_STATES[server.state]
  return (
    <span class="row server-status">
      <Status tone={tone}>{text}</Status>
      <span class="dim small">
        {location.host} · onnxd {server.version}
      </span>
    </span>
  )
}

/** Says that the data is old, and when the page tries to connect again. */
function ConnectionBanner(): JSX.Element | null {
  const { value } = connection
  const [, tick] = useState(0)
  useEffect(() => {
    if (value.state !== 'lost') return undefined
    const timer = setInterval(() => tick(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [value])
  if (value.state !== 'lost') return null
  const seconds = Math.max(0, Math.ceil((value.retryAt - performance.now()) / 1000))
  return (
    <div class="notice bad">
      <div>
        <strong role="alert">Connection lost. {value.reason}</strong>{' '}
        {live.value !== undefined && 'The figures below are old. '}
        {seconds > 0 ? `Next attempt in ${String(seconds)} s.` : 'Connecting…'}
      </div>
      <Button onClick={connect}>Try now</Button>
    </div>
  )
}
