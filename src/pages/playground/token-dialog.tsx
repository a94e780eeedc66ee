import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Button } from '../shared/components/button.tsx'
import { Dialog } from '../shared/components/dialog.tsx'
import { Field } from '../shared/components/field.tsx'
import { api, loadModels } from './state.ts'

/** Asks for the token that the page sends with its requests, or removes it. */
export function TokenDialog({ onClose }: { onClose: () => void }): JSX.Element {
  const [token, setToken] = useState('')
  const use = (value: string): void => {
    api.useToken(value)
    void loadModels()
    onClose()
  }
  return (
    <Dialog title="API token" onClose={onClose}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault()
          use(token.trim())
        }}
      >
        <p class="small dim">
          Servers with API tokens accept only requests with one. The page sends the token in the
          header Authorization, and forgets it when this tab is closed.
        </p>
        <Field label="Token">
          {(ids) => (
            <input
              {...ids}
              class="input"
              type="password"
              autocomplete="off"
              spellcheck={false}
              required
              value={token}
              onInput={(event) => setToken(event.currentTarget.value)}
            />
          )}
        </Field>
        <div class="row">
          <Button kind="primary" type="submit">
            Use this token
          </Button>
          {api.hasToken && <Button onClick={() => use('')}>Remove the token</Button>}
        </div>
      </form>
    </Dialog>
  )
}
