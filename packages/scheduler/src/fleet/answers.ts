import type { Measure, ResourceKind } from '../kind.ts';
import type { Classes } from './classes.ts';

/** What one kind answers to one request, by class of node; asked once for each class. */
export class Answers {
  counts = new Float64Array(0);
  usages = new Float64Array(0);
  rates = new Float64Array(0);
  weights = new Float64Array(0);
  /** How often the kind was asked: the work that this has been. */
  asked = 0;
  readonly kind: ResourceKind;
  readonly request: unknown;
  readonly classes: Classes;
  /** By class: the birth of the class that was asked about. */
  #births = new Float64Array(0);
  readonly #measure: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };

  constructor(kind: ResourceKind, request: unknown, classes: Classes) {
    this.kind = kind;
    this.request = request;
    this.classes = classes;
  }

  /** Where the answer about this node stands in the arrays. */
  about(slot: number): number {
    const { classes } = this;
    const its = classes.ofSlot[slot] as number;
    if (this.#births[its] !== classes.births[its]) this.#ask(its);
    return its;
  }

  #ask(its: number): void {
    if (its >= this.#births.length) this.#lengthen(Math.max(16, this.classes.size, 2 * this.#births.length));
    const measure = this.#measure;
    this.kind.measure(this.classes.states[its], this.request, measure);
    this.counts[its] = measure.count;
    this.usages[its] = measure.usage;
    this.rates[its] = measure.rate;
    this.weights[its] = measure.weight;
    this.#births[its] = this.classes.births[its] as number;
    this.asked += 1;
  }

  #lengthen(length: number): void {
    const longer = (short: Float64Array): Float64Array<ArrayBuffer> => {
      const long = new Float64Array(length);
      long.set(short);
      return long;
    };
    this.counts = longer(this.counts);
    this.usages = longer(this.usages);
    this.rates = longer(this.rates);
    this.weights = longer(this.weights);
    this.#births = longer(this.#births);
  }
}
