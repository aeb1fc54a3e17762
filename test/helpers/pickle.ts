/** @file Pickles as Python 2 wrote those of CIFAR: texts are bytes, arrays by numpy.core.multiarray. */

/** A value to pickle: a list of numbers, or of texts; an array of N × 3072 bytes. */
type Value = readonly (number | string)[] | Uint8Array;

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');

const shortText = (text: string): Buffer => Buffer.concat([Buffer.from([0x55, text.length]), ascii(text)]);

function whole(value: number): Buffer {
  const bytes = Buffer.alloc(5, 0x4a);
  bytes.writeInt32LE(value, 1);
  return bytes;
}

function array(data: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(data.length);
  return Buffer.concat([
    ascii('cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n'),
    Buffer.from([0x4b, 0, 0x85]),
    shortText('b'),
    ascii('\x87R('),
    Buffer.from([0x4b, 1]),
    whole(data.length / 3072),
    Buffer.from([0x4d, 0x00, 0x0c, 0x86]),
    ascii('cnumpy\ndtype\n'),
    shortText('u1'),
    Buffer.from([0x4b, 0, 0x4b, 1, 0x87, 0x52, 0x28, 0x4b, 3]),
    shortText('|'),
    ascii('NNN'),
    whole(-1),
    whole(-1),
    Buffer.from([0x4b, 0, 0x74, 0x62, 0x89, 0x54]),
    length,
    data,
    ascii('tb'),
  ]);
}

function list(items: readonly (number | string)[]): Buffer {
  const values = items.map((item) => (typeof item === 'number' ? whole(item) : shortText(item)));
  return Buffer.concat([ascii(']q\x01('), ...values, ascii('e')]);
}

/** The pickle of a dict. */
export function pickled(dict: Readonly<Record<string, Value>>): Buffer {
  const items = Object.entries(dict).flatMap(([key, value]) => [
    shortText(key),
    value instanceof Uint8Array ? array(value) : list(value),
  ]);
  return Buffer.concat([Buffer.from([0x80, 2]), ascii('}q\x00('), ...items, ascii('u.')]);
}
