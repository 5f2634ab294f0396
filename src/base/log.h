/* base/log.h — structured log, one line an event: `time level area message`. Libraries never log; a task's owner does, once.
 * The line goes to stderr, or to the file set with log_to (opened for append). Thread-safe: a line is one write(2). */
#ifndef LEAT_BASE_LOG_H
#define LEAT_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_level_set(enum log_level least);
/* Set by LEAT_LOG=debug|info|warn|error at start; default info for daemons, warn in the foreground. */
MUST_USE enum err log_to(const char *path, struct fault *f);
/* stderr is the file at `path` (its owner made it so): when it grows beyond `most` bytes it becomes PATH.1, in place of the one
 * that was, and a new one begins. So a log takes twice that at most. What shares the file goes on in the old one. */
void log_bound(const char *path, int64_t most);
#define LOG_MOST ((int64_t)8 << 20)
/* `area` is the module ("copy", "apply:orders"); fmt as printf, `key=value` pairs welcome. */
void log_line(enum log_level level, const char *area, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void log_fault(enum log_level level, const char *area, const struct fault *f);
/* What log_fault said last, and when (world_wall_us). False: nothing yet. */
bool log_last_fault(struct fault *ret, int64_t *ret_at_us);

#endif
