import { expect, test } from 'vitest';

import { eru, pb } from './index.ts';
import { openApi } from './openapi.ts';

const document = openApi([pb.CoreRPC, eru.Eru], '1.2.3') as {
  paths: Record<
    string,
    { post: { requestBody?: object; responses: Record<string, { content: Record<string, object> }> } }
  >;
  components: { schemas: Record<string, { properties?: Record<string, unknown> }> };
};

test('every method has its path; streams say what they are', () => {
  const methods = [pb.CoreRPC, eru.Eru].flatMap(({ typeName, methods: all }) =>
    all.map(({ name }) => `/${typeName}/${name}`),
  );
  expect(Object.keys(document.paths)).toEqual(methods);
  expect(document.paths['/pb.CoreRPC/GetPod']?.post).toMatchObject({
    requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/pb.GetPodOptions' } } } },
    responses: { 200: { content: { 'application/json': { schema: { $ref: '#/components/schemas/pb.Pod' } } } } },
  });
  expect(Object.keys(document.paths['/pb.CoreRPC/LogStream']?.post.responses['200']?.content ?? {})).toEqual([
    'application/x-ndjson',
  ]);
  expect(document.paths['/pb.CoreRPC/ExecuteWorkload']?.post).toMatchObject({
    summary: expect.stringContaining('gRPC') as string,
    responses: { 501: {} },
  });
});

test('every reference leads somewhere, and fields have the types of the JSON mapping', () => {
  const text = JSON.stringify(document);
  const wanted = [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name as string);
  expect(wanted.filter((name) => !(name in document.components.schemas))).toEqual([]);
  expect(document.components.schemas['pb.Workload']?.properties).toMatchObject({
    id: { type: 'string' },
    labels: { type: 'object', additionalProperties: { type: 'string' } },
    createTime: { type: ['string', 'integer'], format: 'int64' },
    privileged: { type: 'boolean' },
    status: { $ref: '#/components/schemas/pb.WorkloadStatus' },
    env: { type: 'array', items: { type: 'string' } },
  });
  expect(document.components.schemas['pb.DeployOptions']?.properties?.['deployStrategy']).toMatchObject({
    enum: ['AUTO', 'FILL', 'EACH', 'GLOBAL', 'DRAINED', 'DUMMY'],
  });
});
