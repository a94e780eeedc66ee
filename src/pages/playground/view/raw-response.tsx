import type { JSX } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { formatBytes } from '../../shared/format.ts'
import { layOut, parseExact } from '../request/exact-json.ts'
import type { Outcome } from '../send.ts'
import { CopyText } from './copy-text.tsx'
import { LongText } from './long-text.tsx'
import { SaveLink } from './save-link.tsx'

/** A longer response is shown as it came, because the browser would need long to lay it out. */
const MAX_LAID_OUT = 500_000

interface RawResponseProps {
  readonly outcome: Extract<Outcome, { kind: 'response' }>
  readonly isOpen: boolean
}

/** The response as it came. */
export function RawResponse({ outcome, isOpen }: RawResponseProps): JSX.Element {
  const { text, content, type } = outcome
  const source = useRef<HTMLDivElement>(null)
  const isImage = type.startsWith('image/')
  const shown = useMemo(() => (text === undefined ? '' : readable(text)), [text])
  return (
    <details class="raw" open={isOpen}>
      <summary>Raw response</summary>
      <div class="stack">
        {isImage && <ResponseImage content={content} />}
        {text !== undefined && (
          <div class="stack" ref={source}>
            <LongText label="Raw response" text={shown} />
          </div>
        )}
        {text === undefined && !isImage && (
          <p class="dim">
            {formatBytes(content.size)} of type {type === '' ? 'unknown' : type}
          </p>
        )}
        <div class="row">
          {text !== undefined && <CopyText text={text} source={source} />}
          <SaveLink content={content} name={`response${endingOf(type)}`} />
        </div>
      </div>
    </details>
  )
}

/** JSON on one line gets line ends. Its numbers stay as they are. */
function readable(text: string): string {
  if (text.length > MAX_LAID_OUT) return text
  try {
    return layOut(parseExact(text))
  } catch {
    return text
  }
}

function ResponseImage({ content }: { content: Blob }): JSX.Element | null {
  const [url, setUrl] = useState<string>()
  useEffect(() => {
    const made = URL.createObjectURL(content)
    setUrl(made)
    return () => URL.revokeObjectURL(made)
  }, [content])
  return url === undefined ? null : <img class="preview" src={url} alt="The response" />
}

function endingOf(type: string): string {
  const [, ending] = /^(?:application|text|image)\/(json|csv|png|jpeg|plain)/.exec(type) ?? []
  if (ending === undefined) return ''
  return ending === 'plain' ? '.txt' : `.${ending}`
}
