import { LineCounter, isNode, parseDocument } from 'yaml';
import type { z } from 'zod';

import { EruError } from './error.ts';

/**
 * YAML or JSON text checked against a schema. Every complaint gives `file:line:column`, the key and what is allowed; an
 * unknown key also gives the nearest known one. Use `z.strictObject` in the schema, so that a typo is an error.
 */
export function parseConfig<Schema extends z.ZodType>(text: string, file: string, schema: Schema): z.infer<Schema> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const broken = document.errors[0];
  if (broken !== undefined)
    throw new EruError('invalid', `${at(broken.pos[0])}: ${broken.message}`, { details: { file } });
  const value: unknown = document.toJS() ?? {};
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const complaints = result.error.issues.flatMap((issue) => {
    const path = issue.path.map(String);
    if (issue.code !== 'unrecognized_keys')
      return [`${at(offsetOf(document, path, ofKey(issue)))}: ${path.join('.') || 'document'}: ${issue.message}`];
    const known = knownKeys(schema, path);
    return issue.keys.map((key) => {
      const near = nearest(key, known);
      const hint = near === undefined ? `known keys: ${known.join(', ')}` : `did you mean ${near}?`;
      return `${at(offsetOf(document, [...path, key], true))}: unknown key ${[...path, key].join('.')}; ${hint}`;
    });
  });
  throw new EruError('invalid', complaints.join('\n'), { details: { file } });
}

/** A check of a record's keys says `params: { key: true }`, and its complaint points at the key, not at the value. */
function ofKey(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'custom' && issue.params?.['key'] === true;
}

function offsetOf(document: ReturnType<typeof parseDocument>, path: string[], ofKey = false): number {
  for (let length = path.length; length > 0; length--) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1).map(indexOrKey), true);
    if (ofKey && length === path.length && isNode(parent) && 'items' in parent) {
      const pair = (parent.items as { key?: { value?: unknown; range?: number[] } }[]).find(
        (item) => String(item.key?.value) === path[length - 1],
      );
      if (pair?.key?.range?.[0] !== undefined) return pair.key.range[0];
    }
    const node: unknown = document.getIn(path.slice(0, length).map(indexOrKey), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return 0;
}

function indexOrKey(part: string): string | number {
  return /^\d+$/.test(part) ? Number(part) : part;
}

/** The keys that an object schema knows at `path`; records and arrays are stepped through. */
function knownKeys(schema: z.ZodType, path: readonly string[]): string[] {
  type Shape = {
    shape?: Record<string, z.ZodType>;
    valueType?: z.ZodType;
    element?: z.ZodType;
    innerType?: z.ZodType;
    in?: z.ZodType;
  };
  let current: z.ZodType | undefined = schema;
  const open = (): Shape => {
    let def = (current as unknown as { def: Shape } | undefined)?.def ?? {};
    while (def.innerType !== undefined || def.in !== undefined)
      def = ((def.innerType ?? def.in) as unknown as { def: Shape }).def;
    return def;
  };
  for (const part of path) {
    const def = open();
    current = def.shape?.[part] ?? def.valueType ?? def.element;
  }
  return Object.keys(open().shape ?? {});
}

/** The candidate within two edits (one for short words), for suggestions. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance <= Math.max(1, Math.floor(candidate.length / 3)) && (best === undefined || distance < best.distance))
      best = { candidate, distance };
  }
  return best?.candidate;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)),
      );
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
