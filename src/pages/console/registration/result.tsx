import type { JSX } from 'preact'
import { Notice } from '../../shared/components/notice.tsx'
import { viewAddress } from '../logic/route.ts'

/** Says that a model was registered, in the words of the server. */
export function RegisterResult({ text }: { text: string }): JSX.Element {
  return (
    <div role="status">
      <Notice tone="good">
        {text}. <a href={viewAddress('models')}>Show models</a>
      </Notice>
    </div>
  )
}
