import type { ComponentChildren, JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Button } from '../shared/components/button.tsx'
import { Login } from '../shared/components/login.tsx'
import { Empty, ErrorNotice } from '../shared/components/notice.tsx'
import { PageHeader } from '../shared/components/page-header.tsx'
import { ModelPage } from './model-page.tsx'
import { ModelPicker } from './model-picker.tsx'
import { api, listError, loadModels, models, selection } from './state.ts'
import { TokenDialog } from './token-dialog.tsx'

/** The whole page: the header, the list of models, and the selected model. */
export function Playground(): JSX.Element {
  const [asksToken, setAsksToken] = useState(false)
  return (
    <>
      <a class="skip-link" href="#content" onClick={skipToContent}>
        Skip to the model
      </a>
      <PageHeader title="onnxd playground">
        <nav class="header-nav" aria-label="Server">
          <a href="docs">API documents</a>
        </nav>
        <span class="token-button">
          <Button kind="quiet" onClick={() => setAsksToken(true)}>
            {api.hasToken ? 'Token is set' : 'Token'}
          </Button>
        </span>
      </PageHeader>
      <Content />
      {asksToken && <TokenDialog onClose={() => setAsksToken(false)} />}
    </>
  )
}

/** The address of the page names the model, so the link must not change it. */
function skipToContent(event: MouseEvent): void {
  event.preventDefault()
  document.querySelector<HTMLElement>('#content')?.focus()
}

function Content(): JSX.Element {
  const names = models.value
  if (names === undefined) {
    if (listError.value === undefined) return <Main>Reading the list of models …</Main>
    if (api.isRejected.value) {
      return (
        <Login
          hint="An API token of this server. The page sends it in a header and forgets it when the tab is closed."
          isWrong={api.hasToken}
          onToken={(token) => {
            api.useToken(token)
            void loadModels()
          }}
        />
      )
    }
    return (
      <Main>
        <ErrorNotice error={listError.value} />
        <Button onClick={() => void loadModels()}>Try again</Button>
      </Main>
    )
  }
  const [first] = names
  const selected =
    selection.value ?? (first === undefined ? undefined : { model: first, version: undefined })
  if (selected === undefined) {
    return (
      <Main>
        <Empty title="There are no models">
          <p>Register a model, then reload this page.</p>
          <Button onClick={() => void loadModels()}>Reload</Button>
        </Empty>
      </Main>
    )
  }
  return (
    <div class="shell">
      <ModelPicker names={names} selected={selected.model} />
      <main id="content" tabIndex={-1} class="content">
        <ModelPage
          key={`${selected.model} ${selected.version ?? ''}`}
          model={selected.model}
          version={selected.version}
        />
      </main>
    </div>
  )
}

function Main({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <main id="content" tabIndex={-1} class="content stack">
      {children}
    </main>
  )
}
