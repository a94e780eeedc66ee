/**
 * Cleans messages: the model knows words, and no mark-up, links, addresses or numbers.
 *
 * Anybody may send a message, so the work of each pattern must grow linearly with the text. A
 * pattern that fails only after it has read far, and can begin again at each character, reads a
 * text of n characters n times. Here a failing pattern has a bound ({1,64}), stops at the
 * character it begins with ([^<>]), or begins once in a line or number.
 */

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['amp', '&'],
  ['gt', '>'],
  ['lt', '<'],
  ['nbsp', ' '],
  ['quot', '"'],
])

/** The words that a person wrote, without the text that was answered and without a signature. */
export function messageText(message: string): string {
  const [own = ''] = withoutTags(message).split(/^(?:-- |On .+ wrote:|-{3,}.*)$/m)
  return own
    .replaceAll(/^>.*$/gm, '')
    .replaceAll(/\bhttps?:\/\/\S+|\bwww\.\S+/gi, 'weblink')
    .replaceAll(/\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\b/g, 'mailaddress')
    .replaceAll(/[#€$£]?\b\d+(?:[.,:-]\d+)*\b[€%]?/g, 'number')
    .replaceAll(/\s+/g, ' ')
    .trim()
}

/** HTML becomes text: blocks begin a line, and escaped characters stand for themselves. */
function withoutTags(text: string): string {
  if (!/<\/?[a-z][^<>]*>/i.test(text)) return text
  return withoutScripts(text)
    .replaceAll(/^[ \t]+/gm, '')
    .replaceAll(/<(?:br|p|div|li|tr|h\d)\b[^<>]*>/gi, '\n')
    .replaceAll(/<[^<>]+>/g, '')
    .replaceAll(/&(\w{1,8});/g, (whole, name: string) => ENTITIES.get(name) ?? whole)
}

/** Removes style sheets and scripts in one pass. Of one that has no end, only the tag goes. */
function withoutScripts(text: string): string {
  const [start = '', ...rest] = text.split(/<(\/?(?:style|script))\b[^<>]*>/i)
  const kept = [start]
  let open = ''
  let keptBefore = 0
  for (let index = 0; index < rest.length; index += 2) {
    const tag = rest[index]?.toLowerCase() ?? ''
    if (open === '' && !tag.startsWith('/')) {
      open = tag
      keptBefore = kept.length
    } else if (tag === `/${open}`) {
      open = ''
      kept.length = keptBefore
    }
    kept.push(rest[index + 1] ?? '')
  }
  return kept.join('')
}
