// Loaded only where YAML is asked for. Imported by its name here, for a bundle gives a dynamic import of CommonJS no names.
export { stringify as yamlText } from 'yaml';
