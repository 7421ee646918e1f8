import type { Labels } from '../model.ts';
import type { NodeTerm, Selector } from './request.ts';

export function selects(selector: Selector, labels: Labels): boolean {
  for (const name in selector) {
    const value = labels[name];
    if (value === undefined || !(selector[name] as readonly string[]).includes(value)) return false;
  }
  return true;
}

/** Of the same app and entrypoint, which every workload has as labels; where neither has any, that is the same, too. */
export function alike(a: Labels, b: Labels): boolean {
  return a['app'] === b['app'] && a['entrypoint'] === b['entrypoint'];
}

export function holds({ label, operator, values }: NodeTerm, labels: Labels): boolean {
  const value = labels[label];
  switch (operator) {
    case 'in':
      return value !== undefined && values.includes(value);
    case 'not-in':
      return value === undefined || !values.includes(value);
    case 'exists':
      return value !== undefined;
    case 'absent':
      return value === undefined;
  }
}

export function describeNodeTerm({ label, operator, values }: NodeTerm): string {
  switch (operator) {
    case 'in':
      return `node label ${label} is not ${values.join(' or ')}`;
    case 'not-in':
      return `node label ${label} is ${values.join(' or ')}`;
    case 'exists':
      return `no node label ${label}`;
    case 'absent':
      return `a node label ${label}`;
  }
}

export function describeSelector(selector: Selector): string {
  return Object.entries(selector)
    .map(([name, values]) => `${name}=${values.join('|')}`)
    .join(',');
}
