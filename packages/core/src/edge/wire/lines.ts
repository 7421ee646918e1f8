/** A line longer than this is given in pieces. */
const longest = 64 * 1024;

/** Cuts a stream of bytes into lines, each with its newline; `end` gives what is left, with a newline added. */
export class Lines {
  #pieces: Uint8Array[] = [];
  #length = 0;

  push(data: Uint8Array): Uint8Array[] {
    const lines: Uint8Array[] = [];
    let start = 0;
    for (;;) {
      const newline = data.indexOf(0x0a, start);
      if (newline < 0) break;
      lines.push(this.#take(data.subarray(start, newline + 1)));
      start = newline + 1;
    }
    if (start < data.length) {
      this.#pieces.push(data.subarray(start));
      this.#length += data.length - start;
      if (this.#length >= longest) lines.push(this.#take(new Uint8Array()));
    }
    return lines;
  }

  end(): Uint8Array[] {
    return this.#length === 0 ? [] : [this.#take(Uint8Array.of(0x0a))];
  }

  #take(last: Uint8Array): Uint8Array {
    const line = Buffer.concat([...this.#pieces, last]);
    this.#pieces = [];
    this.#length = 0;
    return line;
  }
}
