import {
  ScalarType,
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
} from '@bufbuild/protobuf';

type Schema = Record<string, unknown>;

/**
 * What the JSON face answers to, as an OpenAPI 3.1 document, made from the descriptors of the services: it cannot lag
 * behind them. Calls with a stream of requests are named, and say that they need gRPC.
 */
export function openApi(services: readonly DescService[], version: string): Schema {
  const schemas = new Map<string, Schema>();
  const paths: Schema = {};
  for (const service of services)
    for (const method of service.methods)
      paths[`/${service.typeName}/${method.name}`] = { post: operation(service, method, schemas) };
  return {
    openapi: '3.1.0',
    info: { title: 'Eru', version, description: 'The calls of core as JSON over HTTP. Unknown fields are errors.' },
    security: [{ token: [] }, { pair: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        pair: { type: 'http', scheme: 'basic' },
      },
      schemas: { Error: errorSchema, ...Object.fromEntries([...schemas].sort(([a], [b]) => (a < b ? -1 : 1))) },
    },
  };
}

const errorSchema: Schema = {
  type: 'object',
  properties: {
    code: { type: 'string', description: "one of gRPC's codes, in lower case" },
    message: { type: 'string' },
    details: { type: 'array', items: { type: 'object' }, description: 'the number on the wire and our own code' },
  },
};

function operation(service: DescService, method: DescMethod, schemas: Map<string, Schema>): Schema {
  const failure = { description: 'refused or failed', content: json({ $ref: '#/components/schemas/Error' }) };
  const common = { operationId: `${service.typeName}.${method.name}`, tags: [service.typeName] };
  if (method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming')
    return { ...common, summary: 'Takes a stream of requests: call it over gRPC.', responses: { 501: failure } };
  const answer = reference(method.output, schemas);
  const success =
    method.methodKind === 'unary'
      ? { description: 'the answer', content: json(answer) }
      : { description: 'a line of JSON for each answer', content: { 'application/x-ndjson': { schema: answer } } };
  return {
    ...common,
    requestBody: { required: true, content: json(reference(method.input, schemas)) },
    responses: { 200: success, default: failure },
  };
}

function json(schema: Schema): Schema {
  return { 'application/json': { schema } };
}

/** A reference to the message, which is described once. */
function reference(message: DescMessage, schemas: Map<string, Schema>): Schema {
  if (!schemas.has(message.typeName)) {
    const schema: Schema = { type: 'object', additionalProperties: false };
    schemas.set(message.typeName, schema); // before its fields: messages may contain themselves
    if (message.fields.length > 0)
      schema['properties'] = Object.fromEntries(
        message.fields.map((field) => [field.jsonName, fieldSchema(field, schemas)]),
      );
  }
  return { $ref: `#/components/schemas/${message.typeName}` };
}

function fieldSchema(field: DescField, schemas: Map<string, Schema>): Schema {
  switch (field.fieldKind) {
    case 'scalar':
      return scalars[field.scalar];
    case 'enum':
      return enumSchema(field.enum);
    case 'message':
      return reference(field.message, schemas);
    case 'list':
      return { type: 'array', items: valueSchema(field, schemas) };
    case 'map':
      return { type: 'object', additionalProperties: valueSchema(field, schemas) };
  }
}

function valueSchema(field: DescField & { fieldKind: 'list' | 'map' }, schemas: Map<string, Schema>): Schema {
  if (field.message !== undefined) return reference(field.message, schemas);
  if (field.enum !== undefined) return enumSchema(field.enum);
  return scalars[field.scalar];
}

function enumSchema({ values }: DescEnum): Schema {
  return { type: 'string', enum: values.map(({ name }) => name) };
}

/** The JSON mapping of protobuf: 64 bits do not fit into a JSON number, bytes are base64. */
const whole: Schema = { type: 'integer' };
const wide: Schema = { type: ['string', 'integer'], format: 'int64' };
const real: Schema = { type: 'number' };
const scalars: Readonly<Record<ScalarType, Schema>> = {
  [ScalarType.DOUBLE]: real,
  [ScalarType.FLOAT]: real,
  [ScalarType.INT64]: wide,
  [ScalarType.UINT64]: wide,
  [ScalarType.FIXED64]: wide,
  [ScalarType.SFIXED64]: wide,
  [ScalarType.SINT64]: wide,
  [ScalarType.INT32]: whole,
  [ScalarType.UINT32]: whole,
  [ScalarType.FIXED32]: whole,
  [ScalarType.SFIXED32]: whole,
  [ScalarType.SINT32]: whole,
  [ScalarType.BOOL]: { type: 'boolean' },
  [ScalarType.STRING]: { type: 'string' },
  [ScalarType.BYTES]: { type: 'string', format: 'byte' },
};
