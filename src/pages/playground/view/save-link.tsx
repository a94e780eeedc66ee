import type { JSX } from 'preact'
import { Button } from '../../shared/components/button.tsx'

/** How long the browser may take to begin with the download. */
const KEEP_MS = 60_000

/** Saves a content as a file. */
export function SaveLink({ content, name }: { content: Blob; name: string }): JSX.Element {
  return (
    <Button
      icon="download"
      onClick={() => {
        const url = URL.createObjectURL(content)
        const link = document.createElement('a')
        link.href = url
        link.download = name
        link.click()
        setTimeout(() => URL.revokeObjectURL(url), KEEP_MS)
      }}
    >
      Save {name}
    </Button>
  )
}
