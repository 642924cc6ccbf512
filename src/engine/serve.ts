import { Problem } from '../domain/problem.ts';
import type { Decoded } from '../wire/format.ts';
import { lending } from '../wire/shared-memory.ts';
import { checkBudget } from './budget.ts';
import { weigh } from './counterweight.ts';
import type { ItemResult, RequestItem } from './item.ts';
import { choiceOf } from './kernel-choice.ts';
import { decodeRequest, readDecoded } from './request.ts';
import { answerWhole, meansFrom } from './whole-call.ts';

/**
 * Reads a request, which may be decoded already, and answers it too where it takes no more arithmetic than it may.
 * Throws the Problems of that.
 */
export function serve(item: RequestItem, decoded?: Decoded): ItemResult {
  return lending(item.request.memory, () => served(item, decoded));
}

function served(item: RequestItem, decoded: Decoded | undefined): ItemResult {
  const { request, limits, kernel } = item;
  const startMs = performance.now();
  const read = readDecoded(request, decoded ?? decodeRequest(request, limits), { limits });
  if (read.tensorBytes > 0) weigh(read.call);
  const readMs = performance.now() - startMs;
  const choice = choiceOf(kernel);
  const chosen = choice.of(read.call);
  const plan = chosen.plan(read.call);
  checkBudget(plan, limits);
  // A deadline that the body names is kept where the clock of the request is.
  const mayAnswer = read.timeoutMs === undefined;
  const means = meansFrom(item, choice.usual, chosen);
  const answer = mayAnswer ? answerWhole(read, request.answerFormat, chosen, plan, means) : null;
  if (answer === null) return { kind: 'read', read, readMs };
  return { kind: 'answered', answer, readMs, runMs: performance.now() - startMs };
}

/** What came of something, or what it threw, as it is handed to another thread. */
export function outcomeOf(run: () => ItemResult): ItemResult {
  try {
    return run();
  } catch (error) {
    if (error instanceof Problem) return { kind: 'problem', problem: error.toData() };
    return { kind: 'error', error };
  }
}
