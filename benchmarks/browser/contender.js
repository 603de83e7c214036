// A peer in its worker. It is asked to open, which gives functions by their names, then to time
// one of them after a warm-up like that of our page's benchmark.

const WARMUP_MS = 500;
const LEAST_WARMUP_RUNS = 10;

export function serve(open) {
  let functions;
  const answer = async ({ setup, name, runs }) => {
    if (!setup) return time(functions[name], runs);
    functions = await open(setup);
    return Object.keys(functions);
  };
  let last = Promise.resolve();
  self.addEventListener("message", ({ data: { id, ...request } }) => {
    last = last.then(async () => {
      try {
        self.postMessage({ id, reply: await answer(request) });
      } catch (error) {
        self.postMessage({ id, error: `${error?.message ?? error}` });
      }
    });
  });
}

async function time(run, runs) {
  const end = performance.now() + WARMUP_MS;
  for (let n = 0; n < LEAST_WARMUP_RUNS || performance.now() < end; n++) await run();
  const samples = [];
  while (samples.length < runs) {
    const start = performance.now();
    await run();
    samples.push(performance.now() - start);
  }
  return samples;
}
