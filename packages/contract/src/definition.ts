import type { DescMethod } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, Message, MessageInitShape } from '@bufbuild/protobuf';

/** What handlers and callers hand over: a made message, or the fields of one. */
export type Init = MessageInitShape<DescMessage>;

interface GrpcMethod {
  path: string;
  requestStream: boolean;
  responseStream: boolean;
  requestSerialize: (message: Init) => Buffer;
  requestDeserialize: (bytes: Buffer) => Message;
  responseSerialize: (message: Init) => Buffer;
  responseDeserialize: (bytes: Buffer) => Message;
}

/** A generated method in the form that grpc-js wants; the same object serves both sides. */
export function grpcMethod(method: DescMethod): GrpcMethod {
  const { input, output, methodKind } = method;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    requestSerialize: (message: Init) => view(toBinary(input, create(input, message))),
    requestDeserialize: (bytes: Buffer) => fromBinary(input, bytes),
    responseSerialize: (message: Init) => view(toBinary(output, create(output, message))),
    responseDeserialize: (bytes: Buffer) => fromBinary(output, bytes),
  };
}

/** A Buffer over the same memory. */
function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
