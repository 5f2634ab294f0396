/* replicate/finish.h — after the last table has joined: what is left of the schema, foreign keys, statistics. */
#ifndef LEAT_REPLICATE_FINISH_H
#define LEAT_REPLICATE_FINISH_H

#include "journal/journal.h"
#include "replicate/apply.h"

struct finish;
MUST_USE enum err finish_start(struct store *s, struct registry *r, const struct build_post *post, struct apply *apply, struct journal *j, struct finish **ret, struct fault *f);
enum err finish_check(struct finish *fi, struct fault *f);
bool finish_done(struct finish *fi);
/* What it is at, for people; at most size bytes. */
void finish_doing(struct finish *fi, char *text, size_t size);
void finish_stop(struct finish *fi);

#endif
