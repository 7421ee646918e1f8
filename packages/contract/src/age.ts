/**
 * Ahead of an answer that is as of a while ago, because core does not hear its store: the age in milliseconds. Absent when
 * the answer is current.
 */
export const ageHeader = 'eru-age-ms';
