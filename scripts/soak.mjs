/** `npm run soak`: random bodies through an echoing model, see benchmarks/soak.ts. */
import { runBenchmark } from './run-benchmark.mjs'

runBenchmark('soak')
