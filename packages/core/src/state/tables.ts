import type {
  AuthorityRecord,
  ClaimRecord,
  ClusterRecord,
  CoreRecord,
  ExternalClaimRecord,
  JoinRecord,
  NodeRecord,
  NodeResourcesRecord,
  NodeStatusRecord,
  OperationRecord,
  PodRecord,
  ReleaseRecord,
  RequestRecord,
  SlotsRecord,
  TokenRecord,
  Versioned,
  WorkloadRecord,
  WorkloadStatusRecord,
} from './records.ts';
import type { Table } from './table.ts';

/** One key's change, after it is in the view. `after` absent: deleted. */
export interface Change<T = unknown> {
  table: keyof Tables;
  name: string;
  before: Versioned<T> | undefined;
  after: Versioned<T> | undefined;
}

/** What is in the store, by the kind of its keys. */
export interface Tables {
  cluster: Table<ClusterRecord>;
  cores: Table<CoreRecord>;
  pods: Table<PodRecord>;
  nodes: Table<NodeRecord>;
  nodeResources: Table<NodeResourcesRecord>;
  workloads: Table<WorkloadRecord>;
  claims: Table<ClaimRecord>;
  external: Table<ExternalClaimRecord>;
  releases: Table<ReleaseRecord>;
  operations: Table<OperationRecord>;
  slots: Table<SlotsRecord>;
  requests: Table<RequestRecord>;
  tokens: Table<TokenRecord>;
  authority: Table<AuthorityRecord>;
  joins: Table<JoinRecord>;
  apps: Table<{ v: 1 }>;
  nodeStatuses: Table<NodeStatusRecord>;
  workloadStatuses: Table<WorkloadStatusRecord>;
}
