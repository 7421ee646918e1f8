import type { DescFile, DescService } from '@bufbuild/protobuf';
import { createRegistry, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

import { ServerReflection } from './gen/reflection_pb.ts';
import type { ServerReflectionRequest } from './gen/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from './gen/reflection_alpha_pb.ts';
import type { MountedService } from './handlers.ts';
import { mount } from './handlers.ts';

/** `grpc.reflection.v1` and, for older tools, `v1alpha`: the same answers from the generated descriptors. */
export function reflectionServices(services: readonly DescService[]): MountedService[] {
  const offered = [...services, ServerReflection, ServerReflectionAlpha];
  const files = new Map<string, DescFile>();
  for (const service of offered) addFile(service.file, files);
  const symbols = createRegistry(...files.values());

  const answer = ({ messageRequest: asked }: ServerReflectionRequest) => {
    switch (asked.case) {
      case 'listServices':
        return {
          case: 'listServicesResponse',
          value: { service: offered.map(({ typeName }) => ({ name: typeName })) },
        } as const;
      case 'fileByFilename':
        return fileAnswer(files.get(asked.value), asked.value);
      case 'fileContainingSymbol': {
        // `pb.CoreRPC.Info` is found by its service, `pb.TriOpt.KEEP` by its enum.
        const parent = asked.value.slice(0, asked.value.lastIndexOf('.'));
        return fileAnswer((symbols.get(asked.value) ?? symbols.get(parent))?.file, asked.value);
      }
      case 'allExtensionNumbersOfType':
        return { case: 'allExtensionNumbersResponse', value: { baseTypeName: asked.value } } as const;
      case 'fileContainingExtension':
      case undefined:
        return notFound('an extension');
    }
  };
  // The numbers of both versions are equal, so one answer fits both; only the names of the types differ.
  async function* reflect(requests: AsyncIterable<unknown>) {
    for await (const request of requests) {
      yield { originalRequest: request, messageResponse: answer(request as ServerReflectionRequest) };
    }
  }
  return [
    mount(ServerReflection, { serverReflectionInfo: (requests) => reflect(requests) as never }),
    mount(ServerReflectionAlpha, { serverReflectionInfo: (requests) => reflect(requests) as never }),
  ];
}

function addFile(file: DescFile, files: Map<string, DescFile>): void {
  const name = file.proto.name;
  if (files.has(name)) return;
  files.set(name, file);
  for (const imported of file.dependencies) addFile(imported, files);
}

function fileAnswer(file: DescFile | undefined, asked: string) {
  if (file === undefined) return notFound(asked);
  const needed = new Map<string, DescFile>();
  addFile(file, needed);
  const fileDescriptorProto = [...needed.values()].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } } as const;
}

function notFound(asked: string) {
  return { case: 'errorResponse', value: { errorCode: 5, errorMessage: `not found: ${asked}` } } as const;
}
