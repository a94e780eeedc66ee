/** Texts that a model for texts can be tried with. */
import type { TextMetadata } from '../model-metadata.ts'

/** A request of the model's task, as the body of `POST /predictions/{model}`. */
export function textExample({
  task,
  isZeroShot,
  mask = '[MASK]',
}: TextMetadata): Readonly<Record<string, unknown>> {
  switch (task) {
    case 'text-classification':
      return isZeroShot
        ? { inputs: 'The match ended 2 to 1.', candidate_labels: ['sport', 'politics'] }
        : { inputs: 'The food was very good.' }
    case 'text-ranking':
      return { query: 'Where is Paris?', texts: ['Paris is in France.', 'Fish live in water.'] }
    case 'token-classification':
      return { inputs: 'Anna works for Siemens in Berlin.' }
    case 'question-answering':
      return { question: 'Where is Anna?', context: 'Anna is in Paris, and Bob is in London.' }
    case 'fill-mask':
      return { inputs: `Paris is in ${mask}.` }
    default:
      return { inputs: 'The cat sat on the mat.' }
  }
}

/** As {@link textExample}, but with a response that fits on a screen: similarities, not vectors. */
export function shortTextExample(text: TextMetadata): Readonly<Record<string, unknown>> {
  if (text.task !== 'feature-extraction') return textExample(text)
  return {
    source_sentence: 'The cat sat on the mat.',
    sentences: ['A cat is on a mat.', 'Paris is in France.'],
  }
}
