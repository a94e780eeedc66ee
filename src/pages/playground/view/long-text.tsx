import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { Button } from '../../shared/components/button.tsx'
import { formatBytes } from '../../shared/format.ts'

/** Characters that are shown at first. The browser lays them out at once. */
const SHOWN = 4000
/** A longer text would stop the browser for seconds; it can be saved instead. */
const MOST = 4_000_000

/** A text of any length, of which the beginning is shown. */
export function LongText({ label, text }: { label: string; text: string }): JSX.Element {
  const [isAll, setIsAll] = useState(false)
  const isCut = text.length > SHOWN
  return (
    <>
      <pre class="log-lines" tabIndex={0} role="group" aria-label={label}>
        {isCut && !isAll ? `${text.slice(0, SHOWN)} …` : text}
      </pre>
      {isCut && text.length <= MOST && (
        <Button kind="quiet" onClick={() => setIsAll(!isAll)}>
          {isAll ? 'Show less' : `Show all (${formatBytes(text.length)})`}
        </Button>
      )}
      {text.length > MOST && <p class="small dim">The whole text is too long for this page.</p>}
    </>
  )
}
