/** In front of every key, so that the database may be shared. */
export const PREFIX = 'attention:';
/** Names that have a layer (set). */
export const NAMES = `${PREFIX}names`;

/** Revision and entry of a name (hash). */
export const nameKey = (name: string) => `${PREFIX}name:${name}`;
/** A content (string). */
export const contentKey = (etag: string) => `${PREFIX}content:${etag}`;
/** The names that have a content (set). */
export const usersKey = (etag: string) => `${PREFIX}users:${etag}`;
/** A content that is being written (string). */
export const writingKey = (id: string) => `${PREFIX}writing:${id}`;
