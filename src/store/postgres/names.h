/* store/postgres/names.h — the names leat gives to what it makes, in one place. Buffers are NAME_SIZE. */
#ifndef LEAT_STORE_POSTGRES_NAMES_H
#define LEAT_STORE_POSTGRES_NAMES_H

#include "store/store.h"

#define NAME_SIZE 128
#define STREAM_FORWARD "forward"
#define STREAM_AHEAD "ahead" /* commits of the forward stream beyond its position, by a cut */
#define STREAM_REVERSE "reverse"
#define STREAM_COPY "copy"
#define STREAM_JOIN "join"
#define STREAM_HEARTBEAT "heartbeat"

/* "leat_<migration>_<store>", with '-' as '_': slot names allow [a-z0-9_] and 63 characters. Of a way back: "leatback_...", which no
 * store's own can be. */
const char *name_slot(const struct store *s, char name[NAME_SIZE]);
/* Publications: the tables', and the marks' (inserts only, so that trimming is not published). */
const char *name_publication(const struct store *s, char name[NAME_SIZE]);
const char *name_marks(const struct store *s, char name[NAME_SIZE]);
/* The fence's trigger, the same on both sides. */
const char *name_fence(const struct store *s, char name[NAME_SIZE]);
/* A stream's name in leat.progress: "<store>:forward". */
const char *name_stream(const struct store *s, const char *stream, char name[NAME_SIZE]);
/* The advisory lock of a lane: a 63-bit key, the same on every leat. */
int64_t name_lock_key(const struct store *s, const char *stream, const char *lane);

#endif
