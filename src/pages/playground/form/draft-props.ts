/** Properties of the parts of the form. */
import type { ModelDescription } from '../model/description.ts'
import type { Draft } from '../model/draft.ts'

export interface DraftProps {
  readonly description: ModelDescription
  readonly draft: Draft<File>
  readonly onDraft: (draft: Draft<File>) => void
}
