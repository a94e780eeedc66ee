/**
 * Finds in a bundle what works in a file of its own, but not among others: a module that looks for
 * files beside itself finds those of the bundle. Used by `bundle.mjs`; the build fails with what it says.
 */
import { isBuiltin } from 'node:module'
import path from 'node:path'

/** Read as variables of a module: the bundler replaces those that the module does not declare itself. */
const MARKER = 'FREE_IN_A_BUNDLE'
const VARIABLES = ['__filename', '__dirname']

/** Settings of the bundler that `problemsOf` needs. */
export const markFreeVariables = {
  define: Object.fromEntries(VARIABLES.map((name) => [name, `${MARKER}.${name}`])),
}

/** The bundler's own name for `require` of what is not in the bundle. */
const REQUIRE = /\b__require\b(?:\("([^"]+)"\))?/g

const META_RULE = [/\bimport\.meta\b/, 'import.meta']

/** Ways of a library to files beside it. */
const LIBRARY_RULES = [
  META_RULE,
  [/\bcreateRequire\b/, 'createRequire'],
  [/\bnew (?:[\w$]+\.)*Worker[\d$]*\(/, 'new Worker'],
  [/\bimport\((?!\s*["'])/, 'a computed import'],
  [/\bprocess\.(?:mainModule|dlopen)\b/, 'process.mainModule or process.dlopen'],
  [/\bmodule\.(?:require|parent|filename|path|paths|children)\b/, 'the module object of CommonJS'],
  [/\beval\(/, 'eval'],
]

/**
 * What is wrong in the files that the bundler wrote, a line for each module and reason: `<file> uses <what>`.
 * @param isOutside Whether a package stays in `node_modules`.
 * @param mayUseMeta Whether a source of ours may use `import.meta`.
 */
export function problemsOf(files, { root, isOutside, mayUseMeta }) {
  return files
    .flatMap((file) => (file.type === 'chunk' ? Object.entries(file.modules) : []))
    .flatMap(([module, { code }]) => {
      // The bundler's own, which are no files.
      if (code === null || !path.isAbsolute(module)) return []
      const name = nameOf(module, root)
      return usesOf(name, code, { isOutside, mayUseMeta }).map((what) => `${name} uses ${what}`)
    })
}

/** A path from the root, or from the folder of packages, wherever that lies. */
function nameOf(module, root) {
  const name = path.relative(root, module).replaceAll(path.sep, '/')
  return name.slice(Math.max(0, name.indexOf('node_modules/')))
}

function usesOf(name, code, { isOutside, mayUseMeta }) {
  const isLibrary = name.startsWith('node_modules/')
  const rules = isLibrary ? LIBRARY_RULES : mayUseMeta(name) ? [] : [META_RULE]
  return [
    ...VARIABLES.filter((variable) => code.includes(`${MARKER}.${variable}`)),
    ...requiresOf(code, isOutside),
    ...rules.filter(([pattern]) => pattern.test(code)).map(([, what]) => what),
  ]
}

/** Uses of `require` other than for a module of Node or a package that stays outside, each once. */
function requiresOf(code, isOutside) {
  const found = [...code.matchAll(REQUIRE)]
    .map(([, target]) => target)
    .filter((target) => target === undefined || !(isBuiltin(target) || isOutside(target)))
    .map((target) => (target === undefined ? 'require as a value' : `require("${target}")`))
  return [...new Set(found)]
}
