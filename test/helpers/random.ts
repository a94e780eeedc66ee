/** Random numbers that are the same in every run with the same seed. */
export interface RandomNumbers {
  /** A number from 0 to below 1. */
  next(): number
  /** An integer from `least` to `most`, both included. */
  integer(least: number, most: number): number
}

/** The generator mulberry32. */
export function randomNumbers(seed: number): RandomNumbers {
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return { next, integer: (least, most) => least + Math.floor(next() * (most - least + 1)) }
}

/** Another seed in each run. `ONNXD_TEST_SEED` repeats a run; tests print it in their names. */
export function testSeed(): number {
  return Number(process.env['ONNXD_TEST_SEED'] ?? Date.now() % 2 ** 31)
}
