/** Writes the table of supported architectures into `docs/text.md`, and keeps the rest. */
import { ARCHITECTURES, MODULE_TASKS } from '../src/worker/process/tasks/text-folder.ts'
import type { TaskName } from '../src/worker/process/tasks/text-folder.ts'

const HEAD = '| architecture | task | request | response |\n| --- | --- | --- | --- |\n'
/** The table ends at the first line that is no row. */
const TABLE = /\| architecture \| task \|.*\n(?:\|.*\n)+/
const FORMS: Readonly<Record<TaskName, readonly [request: string, response: string]>> = {
  'text-classification': ['text, or pair of texts', 'labels with scores, the best first'],
  'text-ranking': ['`query` and `texts`', 'indices with scores, the best first'],
  'token-classification': ['text', 'spans with labels and character offsets'],
  'question-answering': ['`question` and `context`', 'the answer with its offsets'],
  'fill-mask': ['text with `[MASK]`', 'tokens with scores'],
  'feature-extraction': ['text', 'a vector'],
  'sparse-embedding': ['text', 'weights of tokens'],
}

/**
 * Returns the page with the table that the source says.
 * @param page The page as it is.
 */
export function textPage(page: string): string {
  if (!TABLE.test(page)) throw new Error('docs/text.md has no table of architectures')
  const rows = [
    ...ARCHITECTURES.flatMap(([suffix, task]) => [
      row(`\`…${suffix}\``, task),
      ...(task === 'text-classification'
        ? [
            '| the same, with a label `entailment` | zero-shot classification | `inputs` and `candidate_labels` | labels with scores |\n',
            row('the same, with one label', 'text-ranking'),
          ]
        : []),
    ]),
    ...MODULE_TASKS.map(([module, task]) => row(`any with a module \`${module}\``, task)),
  ]
  return page.replace(TABLE, () => HEAD + rows.join(''))
}

function row(architecture: string, task: TaskName): string {
  return `| ${architecture} | \`${task}\` | ${FORMS[task].join(' | ')} |\n`
}
