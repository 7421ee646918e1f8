import { round9 } from '../lenient.ts';
import { countInSteps } from '../steps.ts';
import type { Contest, Order, StillField } from './field.ts';
import { Heap } from './order.ts';
import { Procession } from './procession.ts';
import type { SurveyedField } from './surveyed-field.ts';

/** A copy of a field for one plan that takes too long to be made in one go: others may change the original between its steps. */
export class OwnField implements StillField {
  readonly size: number;
  readonly open: number;
  readonly total: number;
  readonly capacity: Float64Array;
  readonly count: Float64Array;
  readonly usage: Float64Array;
  readonly rate: Float64Array;
  readonly ties: Int32Array;
  readonly followed = false;

  constructor(base: SurveyedField) {
    this.size = base.size;
    this.open = base.open;
    this.total = base.total;
    this.capacity = base.capacity.slice();
    this.count = base.count.slice();
    this.usage = base.usage.slice();
    this.rate = base.rate.slice();
    this.ties = base.ties;
  }

  room(position: number): number {
    return this.capacity[position] as number;
  }

  preference(): number {
    return 0;
  }

  preferenceWhenTaken(): number {
    return 0;
  }

  take(position: number, count: number): Iterable<undefined> {
    this.capacity[position] = (this.capacity[position] as number) - count;
    this.count[position] = (this.count[position] as number) + count;
    this.usage[position] = round9((this.usage[position] as number) + count * (this.rate[position] as number));
    return [];
  }

  /** All of them: whoever asks for many is not helped by an order. */
  firsts(): number[] {
    const positions: number[] = [];
    for (let position = 0; position < this.size; position += 1) if (this.room(position) >= 1) positions.push(position);
    return positions;
  }

  contest(order: Order, least: number, eligible: (position: number) => boolean = () => true): Contest {
    const heap = new Heap(order(this));
    const admitted = (position: number): boolean => this.room(position) >= least && eligible(position);
    const fill = countInSteps(this.size, (position) => {
      if (admitted(position)) heap.push(position);
    });
    return new Procession(inOrder(heap), admitted, fill);
  }
}

function* inOrder(heap: Heap): Generator<number, void, undefined> {
  while (heap.size > 0) yield heap.pop();
}
