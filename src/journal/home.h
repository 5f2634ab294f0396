/* journal/home.h — the file of a journal: found or made, and known to be ours. */
#ifndef LEAT_JOURNAL_HOME_H
#define LEAT_JOURNAL_HOME_H

#include "journal/db.h"

/* Makes DIR if there is none, and DIR/journal.db with its first event; refuses another program's file, a newer leat's,
 * another migration's, and one whose tail is missing, and then leaves it as it was. */
MUST_USE enum err home_open(const char *dir, const char *migration, struct db **ret, struct fault *f);

#endif
