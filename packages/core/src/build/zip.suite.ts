/** A zip archive of small files, stored as they are; `mode` with its type bits. */
export function zipOf(files: readonly { name: string; contents: string; mode?: number }[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, contents, mode = 0o100644 } of files) {
    const [path, data] = [Buffer.from(name), Buffer.from(contents)];
    const sizes = Buffer.alloc(18);
    sizes.writeUInt32LE(crc32(data), 4);
    sizes.writeUInt32LE(data.length, 8);
    sizes.writeUInt32LE(data.length, 12);
    sizes.writeUInt16LE(path.length, 16);
    const version = Buffer.from([20, 0, 0, 0, 0, 0]);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), version, sizes, Buffer.alloc(2), path, data]);
    const tail = Buffer.alloc(16);
    tail.writeUInt32LE(mode * 65_536, 8);
    tail.writeUInt32LE(offset, 12);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x03'), version, sizes, tail, path]));
    parts.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(files.length, 4);
  end.writeUInt16LE(files.length, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...parts, central, Buffer.from('PK\x05\x06'), end]);
}

function crc32(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
