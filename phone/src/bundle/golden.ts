// How golden frames are judged: the twin of `edgetl_runtime/bundle/golden_frames.py`, which says
// why it is done like this.

const LEAST_SCORE = 1e-3;
const LEAST_SPREAD = 0.1;

type Scores = ArrayLike<number>;

/**
 * How far scores are apart: 0 for equal ones, about 1.4 for scores of unrelated images; NaN if a
 * score is.
 *
 * The root mean square, over all frames and labels, of the difference of the logits, divided by
 * that of the expected logits.
 */
export function measureDeviation(expected: Scores[], found: Scores[]): number {
  let difference = 0;
  let spread = 0;
  let count = 0;
  expected.forEach((scores, frame) => {
    const wanted = toLogits(scores);
    const given = toLogits(found[frame]!);
    for (let i = 0; i < wanted.length; i++) {
      difference += (given[i]! - wanted[i]!) ** 2;
      spread += wanted[i]! ** 2;
      count++;
    }
  });
  return Math.sqrt(difference / count / Math.max(spread / count, LEAST_SPREAD ** 2));
}

// Logarithms of scores less their mean over the labels.
function toLogits(scores: Scores): number[] {
  const logs = Array.from(scores, (score) => Math.log(Math.max(score, LEAST_SCORE)));
  const mean = logs.reduce((sum, one) => sum + one, 0) / logs.length;
  return logs.map((one) => one - mean);
}
