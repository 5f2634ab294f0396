/* replicate/fingerprint.h — changes of the schema where no event trigger notes them: both catalogs are compared, when a few sums over
 * the source's say that something changed. */
#ifndef LEAT_REPLICATE_FINGERPRINT_H
#define LEAT_REPLICATE_FINGERPRINT_H

#include "replicate/ddl.h"

struct fingerprint;
struct fingerprint *fingerprint_new(struct store *s, struct registry *r, struct ddl *d);
void fingerprint_free(struct fingerprint *fp);
/* One look, once everything is copied; cheap while nothing changes. What it finds is shown as pending. ERR_ANEW: a table that both
 * sides have by now can be taken up. */
MUST_USE enum err fingerprint_look(struct fingerprint *fp, struct store_watcher *w, struct fault *f);

#endif
