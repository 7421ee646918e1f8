import { EruError, isJsonObject, type Json, type JsonObject } from '@eru/kit';
import type { Labels } from '../model.ts';

/** The topology that every node has: itself. Any other is a label of nodes, and each of its values a domain. */
export const node = 'node';

/** Label -> the values that match; workloads match that have all of the labels. */
export type Selector = Readonly<Record<string, readonly string[]>>;

export interface WorkloadTerm {
  readonly labels: Selector;
  readonly topology: string;
  /** 0 = required. */
  readonly weight: number;
}

/** A condition on a label of nodes. `exists` with no values. */
export interface NodeTerm {
  readonly label: string;
  readonly operator: 'in' | 'not-in' | 'exists' | 'absent';
  readonly values: readonly string[];
  readonly weight: number;
}

export interface SpreadTerm {
  readonly topology: string;
  readonly maxSkew: number;
  readonly weight: number;
}

/** `alone`: no other workload on its node; `alike`: none but of its app and entrypoint. */
export type Exclusive = 'no' | 'alone' | 'alike';

export interface AffinityRequest {
  /** Of the workload to be placed. */
  readonly labels: Labels;
  readonly affinity: readonly WorkloadTerm[];
  readonly antiAffinity: readonly WorkloadTerm[];
  readonly nodeLabels: readonly NodeTerm[];
  readonly spread: readonly SpreadTerm[];
  readonly exclusive: Exclusive;
}

export const requestKeys = ['labels', 'affinity', 'anti-affinity', 'node-labels', 'spread', 'exclusive'] as const;

/** Labels that are given with the deploy win over those in the request. @throws EruError `invalid` */
export function parseRequest(raw: JsonObject, labels: Labels = {}): AffinityRequest {
  return {
    labels: { ...readLabels(raw['labels'] ?? {}, 'labels'), ...labels },
    affinity: readTerms(raw, 'affinity', workloadTerm),
    antiAffinity: readTerms(raw, 'anti-affinity', workloadTerm),
    nodeLabels: readTerms(raw, 'node-labels', nodeTerm),
    spread: readTerms(raw, 'spread', spreadTerm),
    exclusive: readExclusive(raw['exclusive']),
  };
}

/** Only what was asked. Labels do not matter to the node by itself, and are left out. */
export function formatRequest({ affinity, antiAffinity, nodeLabels, spread, exclusive }: AffinityRequest): JsonObject {
  return {
    ...(affinity.length > 0 && { affinity: affinity.map(formatWorkloadTerm) }),
    ...(antiAffinity.length > 0 && { 'anti-affinity': antiAffinity.map(formatWorkloadTerm) }),
    ...(nodeLabels.length > 0 && { 'node-labels': nodeLabels.map(formatNodeTerm) }),
    ...(spread.length > 0 && { spread: spread.map(formatSpreadTerm) }),
    ...(exclusive !== 'no' && { exclusive }),
  };
}

export function formatWorkloadTerm({ labels, topology, weight }: WorkloadTerm): JsonObject {
  const selector = Object.fromEntries(Object.entries(labels).map(([name, values]) => [name, [...values]]));
  return { labels: selector, topology, ...weighted(weight) };
}

export function readLabels(value: Json, field: string): Labels {
  if (!isJsonObject(value)) throw refused(field, value, 'write labels such as {"app": "web"}');
  return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, readText(text, `${field}.${name}`)]));
}

function workloadTerm(term: JsonObject, field: string): WorkloadTerm {
  knownKeys(term, field, ['labels', 'topology', 'weight']);
  const labels = term['labels'];
  if (!isJsonObject(labels) || Object.keys(labels).length === 0)
    throw refused(
      `${field}.labels`,
      labels,
      'write the labels of the workloads that are meant, such as {"app": "web"}',
    );
  const selector = Object.entries(labels).map(([name, value]) => [name, readValues(value, `${field}.labels.${name}`)]);
  return {
    labels: Object.fromEntries(selector) as Selector,
    topology: readTopology(term['topology'] ?? node, field),
    weight: readWeight(term, field),
  };
}

function nodeTerm(term: JsonObject, field: string): NodeTerm {
  knownKeys(term, field, ['label', 'in', 'not-in', 'exists', 'weight']);
  const label = term['label'];
  if (typeof label !== 'string' || label === '')
    throw refused(`${field}.label`, label, 'write the name of a node label');
  const given = (['in', 'not-in', 'exists'] as const).filter((operator) => term[operator] !== undefined);
  const [operator] = given;
  if (operator === undefined || given.length > 1)
    throw refused(field, term, 'write one of in: [values], not-in: [values], exists: true, exists: false');
  const weight = readWeight(term, field);
  if (operator !== 'exists')
    return { label, operator, values: readValues(term[operator], `${field}.${operator}`), weight };
  if (typeof term.exists !== 'boolean') throw refused(`${field}.exists`, term.exists, 'write true or false');
  return { label, operator: term.exists ? 'exists' : 'absent', values: [], weight };
}

function formatNodeTerm({ label, operator, values, weight }: NodeTerm): JsonObject {
  const condition =
    operator === 'exists' || operator === 'absent' ? { exists: operator === 'exists' } : { [operator]: [...values] };
  return { label, ...condition, ...weighted(weight) };
}

function spreadTerm(term: JsonObject, field: string): SpreadTerm {
  knownKeys(term, field, ['topology', 'max-skew', 'weight']);
  const maxSkew = term['max-skew'] ?? 1;
  if (typeof maxSkew !== 'number' || !Number.isSafeInteger(maxSkew) || maxSkew < 1)
    throw refused(`${field}.max-skew`, maxSkew, 'write a whole number from 1');
  return { topology: readTopology(term['topology'], field), maxSkew, weight: readWeight(term, field) };
}

function formatSpreadTerm({ topology, maxSkew, weight }: SpreadTerm): JsonObject {
  return { topology, 'max-skew': maxSkew, ...weighted(weight) };
}

function readExclusive(value: Json | undefined): Exclusive {
  if (value === undefined || value === null || value === false) return 'no';
  if (value === true) return 'alone';
  if (value === 'alone' || value === 'alike' || value === 'no') return value;
  throw refused('exclusive', value, 'write alone (or true), or alike');
}

function readTerms<T>(raw: JsonObject, key: string, read: (term: JsonObject, field: string) => T): T[] {
  const value = raw[key] ?? [];
  if (!Array.isArray(value)) throw refused(key, value, 'write a list of terms');
  return value.map((term, index) => {
    const field = `${key}[${index}]`;
    if (!isJsonObject(term)) throw refused(field, term, 'write a term, which is an object');
    return read(term, field);
  });
}

function knownKeys(term: JsonObject, field: string, known: readonly string[]): void {
  const unknown = Object.keys(term).find((key) => !known.includes(key));
  if (unknown !== undefined) throw refused(`${field}.${unknown}`, term[unknown], `a term has ${known.join(', ')}`);
}

function readTopology(value: Json | undefined, field: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw refused(`${field}.topology`, value, 'write node, or a label of nodes such as zone');
}

function readWeight(term: JsonObject, field: string): number {
  const { weight } = term;
  if (weight === undefined) return 0;
  if (typeof weight === 'number' && Number.isSafeInteger(weight) && weight >= 1 && weight <= 100) return weight;
  throw refused(`${field}.weight`, weight, 'write 1 to 100 for what is preferred, leave it out for what is required');
}

/** One value or several. */
function readValues(value: Json | undefined, field: string): string[] {
  const values = Array.isArray(value) ? value : [value];
  if (values.length === 0) throw refused(field, value, 'write one value or more');
  return values.map((each) => readText(each, field)).toSorted();
}

/** YAML reads a rack 7 as a number; labels are text. */
function readText(value: Json | undefined, field: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw refused(field, value, 'write text');
}

function weighted(weight: number): JsonObject {
  return weight === 0 ? {} : { weight };
}

function refused(field: string, value: Json | undefined, remedy: string): EruError {
  const shown = JSON.stringify(value) ?? 'nothing';
  return new EruError('invalid', `affinity ${field}: ${shown} is not allowed; ${remedy}`, {
    details: { field: `affinity.${field}`, value, remedy },
  });
}
