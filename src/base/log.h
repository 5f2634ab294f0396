/* base/log.h — structured log, one line an event: `time level area message`. Libraries never log; a task's owner does, once.
 * The line goes to stderr, or to the file set with log_to (opened for append). Thread-safe: a line is one write(2). */
#ifndef LEAT_BASE_LOG_H
#define LEAT_BASE_LOG_H

#include "base/fault.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_level_set(enum log_level least);
/* Set by LEAT_LOG=debug|info|warn|error at start; default info for daemons, warn in the foreground. */
MUST_USE enum err log_to(const char *path, struct fault *f);
/* `area` is the module ("copy", "apply:orders"); fmt as printf, `key=value` pairs welcome. */
void log_line(enum log_level level, const char *area, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void log_fault(enum log_level level, const char *area, const struct fault *f);

#endif
