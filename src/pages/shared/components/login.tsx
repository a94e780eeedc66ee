import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Button } from './button.tsx'
import { Field } from './field.tsx'

interface LoginProps {
  /** Where the operator finds the token. */
  readonly hint: string
  /** Whether the server rejected a token. */
  readonly isWrong: boolean
  readonly onToken: (token: string) => void
}

/** Asks for the token of the server. It is sent in a header only. */
export function Login({ hint, isWrong, onToken }: LoginProps): JSX.Element {
  const [token, setToken] = useState('')
  return (
    <main class="login">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault()
          onToken(token.trim())
        }}
      >
        <h1>Sign in</h1>
        {/* Password managers store a token under this name. */}
        <input type="text" autocomplete="username" value="onnxd" hidden readonly />
        <Field
          label="Token"
          hint={hint}
          error={isWrong ? 'The server rejected this token.' : undefined}
        >
          {(ids) => (
            <input
              {...ids}
              class="input"
              type="password"
              autocomplete="current-password"
              spellcheck={false}
              required
              value={token}
              onInput={(event) => setToken(event.currentTarget.value)}
            />
          )}
        </Field>
        <Button kind="primary" type="submit">
          Sign in
        </Button>
      </form>
    </main>
  )
}
