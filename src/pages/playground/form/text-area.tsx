import type { JSX } from 'preact'
import { Button } from '../../shared/components/button.tsx'
import { Field } from '../../shared/components/field.tsx'
import { formatBytes } from '../../shared/format.ts'

interface TextAreaProps {
  readonly label: string
  readonly hint?: string
  readonly text: string
  readonly isCode?: boolean
  readonly onText: (text: string) => void
}

const MIN_ROWS = 8
const MAX_ROWS = 24
/** In a longer text each key would stop the browser for seconds. */
const MAX_EDITED = 200_000
const SHOWN = 2000

/** A field for a text of any length. A very long text can be pasted, but not edited. */
export function TextArea(props: TextAreaProps): JSX.Element {
  const { label, hint, text, isCode = false, onText } = props
  if (text.length > MAX_EDITED) {
    return (
      <div class="stack">
        <div class="row">
          <span class="field-label">{label}</span>
          <span class="dim small">{formatBytes(text.length)}, too long to edit here</span>
          <Button onClick={() => onText('')}>Empty the field</Button>
        </div>
        <pre class="log-lines" tabIndex={0} role="group" aria-label={`Beginning of ${label}`}>
          {text.slice(0, SHOWN)} …
        </pre>
      </div>
    )
  }
  const rows = Math.min(MAX_ROWS, Math.max(MIN_ROWS, text.split('\n', MAX_ROWS).length))
  return (
    <Field label={label} hint={hint}>
      {(ids) => (
        <textarea
          {...ids}
          class={isCode ? 'input mono' : 'input'}
          rows={rows}
          spellcheck={!isCode}
          value={text}
          onInput={(event) => onText(event.currentTarget.value)}
          onPaste={(event) => {
            const pasted = event.clipboardData?.getData('text/plain') ?? ''
            // A very long text replaces the content: the browser need not lay it out.
            if (pasted.length <= MAX_EDITED) return
            event.preventDefault()
            onText(pasted)
          }}
        />
      )}
    </Field>
  )
}
