import type { JSX, RefObject } from 'preact'
import { Button } from '../../shared/components/button.tsx'
import { CopyButton } from '../../shared/components/copy-button.tsx'

interface CopyTextProps {
  readonly text: string
  /** The element that shows the text. */
  readonly source: RefObject<HTMLElement | null>
}

/**
 * Copies a text. Browsers have no clipboard for pages of other hosts without HTTPS. There the
 * button selects the text, so that the user can copy it.
 */
export function CopyText({ text, source }: CopyTextProps): JSX.Element {
  if (isSecureContext) return <CopyButton text={text} />
  return (
    <Button
      icon="copy"
      onClick={() => {
        if (source.current !== null) getSelection()?.selectAllChildren(source.current)
      }}
    >
      Select
    </Button>
  )
}
