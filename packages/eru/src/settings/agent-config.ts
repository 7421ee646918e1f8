import { agentKeys, type AgentConfig, type AgentKey } from './agent-keys.ts';
import { idleKeys, readKeys, type KeyTable } from './config-file.ts';

/** The original's names of variables, where they are not the key's (reference/agent.md section 2). */
const table: KeyTable<AgentKey> = {
  keys: agentKeys,
  prefix: 'ERU_AGENT_',
  variables: {
    pid: 'ERU_AGENT_PIDFILE',
    core: 'ERU_AGENT_CORE_ENDPOINT',
    'auth.username': 'ERU_AGENT_CORE_USERNAME',
    'auth.password': 'ERU_AGENT_CORE_PASSWORD',
    'healthcheck.interval': 'ERU_AGENT_HEALTH_CHECK_INTERVAL',
    'healthcheck.timeout': 'ERU_AGENT_HEALTH_CHECK_TIMEOUT',
    'healthcheck.cache_ttl': 'ERU_AGENT_HEALTH_CHECK_CACHE_TTL',
  },
  others: ['ERU_AGENT_CONFIG_PATH', 'ERU_AGENT_EXPERIMENTAL_FILTER'],
};

/**
 * A configuration file of the original's agent, key for key; variables such as `ERU_AGENT_LOG_FORWARDS` win over it.
 * @throws EruError `invalid` with file, line and column, or the name of the variable
 */
export async function readAgentConfig(
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<AgentConfig> {
  return (await readKeys(table, file, env)) as AgentConfig;
}

/** The given keys of which somebody should know that they have no effect. */
export function agentKeysWithoutEffect(
  config: AgentConfig,
): { key: AgentKey; use: 'unused' | 'stale'; meaning: string }[] {
  return idleKeys(table, config);
}
