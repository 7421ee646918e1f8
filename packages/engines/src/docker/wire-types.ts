/** The parts of the Docker API's JSON that we read or write; names are the API's. */

export interface DockerUlimit {
  Name: string;
  Soft: number;
  Hard: number;
}

export interface DeviceRate {
  Path: string;
  Rate: number;
}

export interface DockerResources {
  CpuShares?: number;
  CpuPeriod?: number;
  CpuQuota?: number;
  CpusetCpus?: string;
  CpusetMems?: string;
  Memory?: number;
  MemorySwap?: number;
  MemoryReservation?: number;
  PidsLimit?: number | null;
  BlkioDeviceReadIOps?: DeviceRate[] | null;
  BlkioDeviceWriteIOps?: DeviceRate[] | null;
  BlkioDeviceReadBps?: DeviceRate[] | null;
  BlkioDeviceWriteBps?: DeviceRate[] | null;
  Ulimits?: DockerUlimit[] | null;
}

export interface DockerHostConfig extends DockerResources {
  Binds?: string[];
  Dns?: string[];
  ExtraHosts?: string[];
  Sysctls?: Record<string, string>;
  NetworkMode?: string;
  PortBindings?: Record<string, { HostIp?: string; HostPort: string }[]>;
  RestartPolicy?: { Name: string; MaximumRetryCount: number };
  LogConfig?: { Type: string; Config: Record<string, string> };
  Privileged?: boolean;
  CapAdd?: string[];
  CapDrop?: string[];
  PidMode?: string;
  StorageOpt?: Record<string, string>;
  Runtime?: string;
}

export interface EndpointConfig {
  IPAMConfig?: { IPv4Address?: string; IPv6Address?: string } | null;
  IPAddress?: string;
  GlobalIPv6Address?: string;
}

export interface CreateBody {
  Image: string;
  Cmd?: string[];
  Env: string[];
  User: string;
  WorkingDir: string;
  Labels: Record<string, string>;
  OpenStdin: boolean;
  Tty: boolean;
  StopSignal?: string;
  Volumes: Record<string, object>;
  ExposedPorts: Record<string, object>;
  NetworkDisabled: boolean;
  HostConfig: DockerHostConfig;
  NetworkingConfig: { EndpointsConfig: Record<string, EndpointConfig> };
}

export interface Container {
  Id: string;
  Name: string;
  Created: string;
  RestartCount: number;
  State: {
    Status: string;
    Running: boolean;
    Paused: boolean;
    Restarting: boolean;
    OOMKilled: boolean;
    Pid: number;
    ExitCode: number;
    Error: string;
    StartedAt: string;
    FinishedAt: string;
  };
  Config: {
    Image: string;
    User: string;
    StopSignal?: string;
    Labels: Record<string, string> | null;
    Tty: boolean;
    OpenStdin: boolean;
  };
  HostConfig: DockerHostConfig;
  NetworkSettings: { Networks?: Record<string, EndpointConfig> | null };
}

export interface DockerEvent {
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
}

export interface DockerInfo {
  ID: string;
  Name: string;
  DockerRootDir: string;
  NCPU: number;
  MemTotal: number;
  Driver: string;
  CgroupVersion?: string;
  CgroupDriver?: string;
  LoggingDriver?: string;
  ServerVersion: string;
  Runtimes?: Record<string, unknown>;
  Warnings?: string[] | null;
}

export interface DockerStats {
  read: string;
  cpu_stats?: { cpu_usage?: { total_usage?: number }; throttling_data?: { throttled_time?: number } };
  memory_stats?: { usage?: number };
  pids_stats?: { current?: number };
}
