/* base/process.h — runs another program to its end, its output captured. The seam to processes: nothing else forks and
 * waits.
 *
 * What holds
 *  1. A child never outlives its purpose: it is ended and reaped when asked to stop, at the deadline, when its output
 * grows beyond its cap, and (PR_SET_PDEATHSIG) when the thread that waits for it dies.
 *  2. It inherits no descriptor but 0 (/dev/null), 1 and 2, no blocked signal and no ignored SIGPIPE.
 *  3. Secrets go through the environment, never through the arguments: those everybody on the machine can read. */
#ifndef LEAT_BASE_PROCESS_H
#define LEAT_BASE_PROCESS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"

struct process {
    const char *const *argv; /* ends in NULL; argv[0] is a path, or a name looked up in PATH */
    const char *const *env;  /* ends in NULL, or NULL; "NAME=value" is set, "NAME" alone is removed; the rest is ours */
    int64_t timeout_us;      /* 0: as long as it takes */
    const _Atomic bool *stop; /* becomes true: end the child, ERR_INTERRUPTED; may be NULL */
};

#define PROCESS_STDERR_CAP ((size_t)1 << 20) /* what a child says beyond this on stderr is read and dropped */

/* Adds what the child writes to *out and *err (either may be NULL: dropped); out->cap bounds out (0: BUF_CAP_DEFAULT).
 * The status is its exit status, or 128 + signal. Any status is ERR_OK here: what it means is the caller's to say.
 * Else: ERR_SYSTEM       it could not be started, or wrote more than out->cap ERR_BUSY         it was not done at the
 * deadline ERR_INTERRUPTED  *stop, or it was ended by SIGINT (Ctrl-C reaches the whole foreground group) */
MUST_USE enum err process_run(const struct process *p, struct buf *out, struct buf *err, int *ret_status,
                              struct fault *f);

/* For messages: the end of what a child said, one line ("a; b; c"), at most `size` bytes with its NUL. Returns text. */
const char *process_last_words(const struct buf *err, char *text, size_t size);

#endif
