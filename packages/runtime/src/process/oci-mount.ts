/** One entry of `mounts` in the OCI runtime's `config.json`. */
export interface OciMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}
