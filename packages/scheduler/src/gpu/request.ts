import { isJsonObject, type JsonObject } from '@eru/kit';
import { addAmounts, type Amounts } from '../amounts.ts';
import { refused } from '../refused.ts';

export const requestKeys = ['prod_count_map'] as const;

/** GPUs by product. @throws EruError `invalid`, with the original's text at the end of the message */
export function parseRequest(raw: JsonObject): Amounts {
  return checkCounts(readCounts(raw));
}

/** A realloc's request is a delta; a product that ends at 0 or below is gone (section 5). */
export function parseDelta(raw: JsonObject, current: Amounts): Amounts {
  const sum = addAmounts(current, readCounts(raw));
  return Object.fromEntries(Object.entries(sum).filter(([, count]) => count > 0));
}

/** Whole numbers, also written as text, of either sign: what a delta may hold. */
export function readCounts(raw: JsonObject): Amounts {
  const map = raw['prod_count_map'] ?? {};
  if (!isJsonObject(map)) throw refused('gpu prod_count_map', map, example, 'invalid gpu map');
  return Object.fromEntries(
    Object.entries(map).map(([product, value]) => {
      if (product.trim() === '')
        throw refused('gpu prod_count_map', product, 'name the product', 'invalid gpu product');
      const count = typeof value === 'string' && /^\s*[+-]?\d+\s*$/.test(value) ? Number(value) : value;
      if (typeof count !== 'number' || !Number.isSafeInteger(count))
        throw refused(`gpu prod_count_map[${product}]`, value, example, 'invalid gpu map');
      return [product, count];
    }),
  );
}

/** What is not a delta: every count above 0. */
export function checkCounts(counts: Amounts): Amounts {
  for (const [product, count] of Object.entries(counts)) {
    if (count <= 0)
      throw refused(
        `gpu prod_count_map[${product}]`,
        count,
        'leave the product out, or ask for 1 or more',
        'invalid gpu map',
      );
  }
  return counts;
}

const example = 'write whole numbers by product, such as {"a100":2}';
