import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Button } from './button.tsx'

const SHOWN_MS = 2000

/** Copies a text to the clipboard. Without HTTPS browsers allow that on localhost only. */
export function CopyButton({
  text,
  label = 'Copy',
}: {
  text: string
  label?: string
}): JSX.Element {
  const [result, setResult] = useState<string>()
  const show = (outcome: string): void => {
    setResult(outcome)
    setTimeout(() => setResult(undefined), SHOWN_MS)
  }
  return (
    <Button
      icon={result === 'Copied' ? 'check' : 'copy'}
      onClick={() => {
        // Pages of other hosts without HTTPS have no clipboard.
        if (!isSecureContext) return show('Not allowed by the browser')
        navigator.clipboard.writeText(text).then(
          () => show('Copied'),
          () => show('Not allowed by the browser'),
        )
      }}
    >
      <span aria-live="polite">{result ?? label}</span>
    </Button>
  )
}
