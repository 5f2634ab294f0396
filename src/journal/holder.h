/* journal/holder.h — who a process is, so that another process can tell whether it still lives. */
#ifndef LEAT_JOURNAL_HOLDER_H
#define LEAT_JOURNAL_HOLDER_H

#include <stdint.h>

#define HOLDER_TEXT_SIZE 256

struct holder {
    char host[HOLDER_TEXT_SIZE];  /* for people */
    char place[HOLDER_TEXT_SIZE]; /* the boot of a kernel and a pid namespace of it: within one place a pid has one
                                     meaning; "" = unknown */
    int64_t pid;
    int64_t started; /* field 22 of /proc/PID/stat: ticks since boot, so that a reused pid is noticed; 0 = unknown */
};

enum holder_state {
    HOLDER_LIVES,
    HOLDER_DEAD,
    HOLDER_UNKNOWN, /* another machine, another boot or another container: its pid cannot be looked up here */
};

void holder_self(struct holder *ret);
enum holder_state holder_look(const struct holder *h);

#endif
